//! The binaries under test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs};

use anyhow::{Context as _, ensure};

/// The path of a binary of this workspace, built by the same `cargo test --workspace`: one of its
/// own package in bins/, or one of the package examples/.
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the root of the workspace")?;
    let mut packages = BTreeSet::new();
    let own = root.join("bins").join(name);
    let package = if own.is_dir() {
        own
    } else {
        root.join("examples")
    };
    gather(root, &package, &mut packages)?;
    for package in packages {
        let newest = newest(&package.join("src"))?;
        ensure!(
            newest <= built,
            "{name} is older than {}: run `cargo build --workspace --bins`",
            package.display()
        );
    }
    Ok(path)
}

/// A package and the packages of this workspace that it is built from.
fn gather(root: &Path, package: &Path, all: &mut BTreeSet<PathBuf>) -> anyhow::Result<()> {
    if !all.insert(package.to_path_buf()) {
        return Ok(());
    }
    let manifest = package.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    for dependency in dependencies(&text) {
        let sibling = root.join("crates").join(dependency);
        if sibling.is_dir() {
            gather(root, &sibling, all)?;
        }
    }
    Ok(())
}

/// The names in the section `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
}

/// When the newest file below a folder was changed.
fn newest(folder: &Path) -> anyhow::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let changed = if entry.file_type()?.is_dir() {
            self::newest(&entry.path())?
        } else {
            modified(&entry.path())?
        };
        newest = newest.max(changed);
    }
    Ok(newest)
}

fn modified(path: &Path) -> anyhow::Result<SystemTime> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    Ok(metadata.modified()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_binary_is_built_from_counts() {
        let manifest = "[package]\nname = \"x\"\n\n[dependencies]\nqat-node.workspace = true\n\
                        tokio = { workspace = true }\n\n[dev-dependencies]\nnode-sim.workspace = true\n";
        assert_eq!(
            dependencies(manifest).collect::<Vec<_>>(),
            ["qat-node", "tokio"]
        );
    }

    #[test]
    fn a_binary_is_built_from_its_crates_and_never_from_the_simulator() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut packages = BTreeSet::new();
        gather(root, &root.join("bins/qat-plugin"), &mut packages).unwrap();
        assert!(packages.contains(&root.join("crates/sysfs-pci")));
        assert!(!packages.contains(&root.join("crates/node-sim")));
    }
}
