//! What is looked at: this machine, or one in a file.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use qat_node::archive::Archive;
use qat_node::pools::PoolConfig;
use qat_node::{Look, Looker, Roots};
use qat_policy::Rules;
use sysfs_pci::fs::read_text;
use tempfile::TempDir;

use crate::args::View;
use crate::known::Known;

/// A file system in memory, where there is one.
const MEMORY: &str = "/dev/shm";

/// A machine that was looked at.
pub(crate) struct Site {
    pub(crate) roots: Roots,
    pub(crate) proc: PathBuf,
    /// Where firmware files are; none for a machine in a file, which has none of them.
    pub(crate) firmware: Option<PathBuf>,
    pub(crate) state_dir: PathBuf,
    pub(crate) rules: Rules,
    pub(crate) pools: PoolConfig,
    pub(crate) known: Known,
    pub(crate) looker: Looker,
    pub(crate) look: Look,
    /// Whether it is one in a file: nobody can be asked then.
    pub(crate) is_a_snapshot: bool,
    /// Where a machine from a file was unpacked.
    trees: Option<TempDir>,
}

impl Site {
    /// Looks at the machine once.
    pub(crate) fn new(view: &View) -> anyhow::Result<Self> {
        let (roots, proc, state_dir, trees) = if let Some(file) = &view.roots.from {
            // In memory where that is possible: these are thousands of small files.
            let dir = tempfile::tempdir_in(MEMORY).or_else(|_none| tempfile::tempdir());
            let dir = dir.context("cannot make a temporary directory")?;
            let unpacked = Archive::read(file).and_then(|archive| archive.unpack(dir.path()));
            let unpacked = unpacked.with_context(|| format!("--from {}", file.display()))?;
            (unpacked.roots, unpacked.proc, unpacked.state_dir, Some(dir))
        } else {
            let roots = view.roots.resolve();
            let state_dir = view.roots.kubelet.state_dir(&roots);
            (roots, view.roots.proc.clone(), state_dir, None)
        };
        roots.check()?;
        let (rules, pools) = view.rules(&roots.sysfs)?;
        let boot = fs::read_to_string(proc.join("sys/kernel/random/boot_id"));
        let known = Known::read(&state_dir, &boot.unwrap_or_default());
        let mut looker = Looker::new(&roots, rules.clone());
        let look = known.look(&mut looker)?;
        Ok(Self {
            roots,
            proc,
            firmware: trees.is_none().then(|| view.roots.firmware_dir.clone()),
            state_dir,
            rules,
            pools,
            known,
            looker,
            look,
            is_a_snapshot: trees.is_some(),
            trees,
        })
    }

    /// The text of a small file of sysfs, if it can be read.
    pub(crate) fn sysfs_text(&self, relative: &str) -> Option<String> {
        let text = read_text(&self.roots.sysfs.join(relative)).ok()?;
        Some(text.trim().to_owned())
    }

    /// A text with paths as they are on the machine, not where it was unpacked.
    pub(crate) fn as_on_the_machine(&self, text: String) -> String {
        match self.trees.as_ref().and_then(|trees| trees.path().to_str()) {
            Some(trees) => text.replace(trees, ""),
            None => text,
        }
    }
}
