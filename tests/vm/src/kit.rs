//! What is fetched and built once: `tests/vm/fetch` does it and says where things are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Where the things are that a machine is made of.
#[derive(Clone, Debug)]
pub struct Kit {
    /// The folder into which QEMU's packages were unpacked.
    pub qemu: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The folder of its modules.
    pub modules: PathBuf,
    /// A static busybox.
    pub busybox: PathBuf,
    /// The module that plays the QAT drivers.
    pub twin: PathBuf,
}

impl Kit {
    /// Runs `tests/vm/fetch`, which does what was not done before.
    ///
    /// # Errors
    ///
    /// When the script fails; it has told why on standard error.
    pub fn get() -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/fetch");
        let output = Command::new(script)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot run `{script}`"))?;
        if !output.status.success() {
            bail!("`{script}` failed: {}", output.status);
        }
        Self::parse(&String::from_utf8(output.stdout)?)
    }

    /// Where QEMU's libraries are that this machine lacks, as the loader wants it.
    pub(crate) fn library_path(&self) -> String {
        let below = |path: &str| self.qemu.join(path).display().to_string();
        ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"]
            .map(below)
            .join(":")
    }

    fn parse(text: &str) -> Result<Self> {
        let lines: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        let path = |name: &str| {
            let path = lines.get(name).map(PathBuf::from);
            path.with_context(|| format!("tests/vm/fetch does not say where {name} is"))
        };
        Ok(Self {
            qemu: path("QEMU")?,
            kernel: path("KERNEL")?,
            modules: path("MODULES")?,
            busybox: path("BUSYBOX")?,
            twin: path("TWIN")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Kit;

    #[test]
    fn a_path_that_is_missing_is_named() {
        let text = "QEMU=/c/qemu\nKERNEL=/c/vmlinuz\nMODULES=/c/m\nBUSYBOX=/c/b\n";
        let error = Kit::parse(text).unwrap_err().to_string();
        assert!(error.ends_with("where TWIN is"), "{error}");
        let kit = Kit::parse(&format!("{text}TWIN=/c/t=1.ko\n")).unwrap();
        assert_eq!(kit.twin.to_str(), Some("/c/t=1.ko"));
    }
}
