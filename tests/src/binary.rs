//! The binaries under test.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs};

use anyhow::{Context as _, bail};

/// The path of a binary of this workspace, built by the same `cargo test --workspace`.
///
/// # Errors
///
/// When it is not there, or older than one of its sources: a test against a stale binary proves
/// nothing.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = env::current_exe().context("who am I")?;
    let profile = test
        .ancestors()
        .nth(2)
        .context("a test binary lives in target/PROFILE/deps")?;
    let path = profile.join(name);
    let built = modified(&path)
        .with_context(|| format!("run `cargo build --workspace --bins`; {name} is not built"))?;
    let listing = path.with_extension("d");
    let sources = fs::read_to_string(&listing)
        .with_context(|| format!("cannot read {}", listing.display()))?;
    for source in sources_of(&sources) {
        let changed = modified(Path::new(&source))
            .with_context(|| format!("{name} was built from a file that is gone"))?;
        if changed > built {
            bail!("{name} is older than {source}: run `cargo build --workspace --bins`");
        }
    }
    Ok(path)
}

fn modified(path: &Path) -> anyhow::Result<SystemTime> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    Ok(metadata.modified()?)
}

/// The files of a dependency listing in the form of make: `target: file file`, blanks in names behind
/// a backslash.
fn sources_of(listing: &str) -> Vec<String> {
    let files = listing
        .split_once(": ")
        .map_or("", |(_, files)| files)
        .trim();
    let marked = files.replace("\\ ", "\0");
    marked
        .split_whitespace()
        .map(|file| file.replace('\0', " "))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_in_file_names_are_part_of_them() {
        let listing = "/t/bin: /a/b.rs /c\\ d/e.rs\n";
        assert_eq!(sources_of(listing), ["/a/b.rs", "/c d/e.rs"]);
    }
}
