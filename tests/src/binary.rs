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
    for source in sources.split_whitespace().skip(1) {
        if modified(Path::new(source)).is_ok_and(|changed| changed > built) {
            bail!("{name} is older than {source}: run `cargo build --workspace --bins`");
        }
    }
    Ok(path)
}

fn modified(path: &Path) -> anyhow::Result<SystemTime> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    Ok(metadata.modified()?)
}
