//! Kernel modules and what they need first.
//!
//! The kernel's package has no list of dependencies; each module names its own in the section `.modinfo`,
//! as `depends=a,b` between NULs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The modules of a kernel.
#[derive(Debug)]
pub struct Modules {
    files: BTreeMap<String, PathBuf>,
}

impl Modules {
    /// Finds the modules below a folder.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn find(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let cannot = || format!("cannot read `{}`", folder.display());
            for entry in fs::read_dir(&folder).with_context(cannot)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else if let Some(name) = name_of(&entry.file_name().to_string_lossy()) {
                    files.insert(name, entry.path());
                }
            }
        }
        Ok(Self { files })
    }

    /// These modules and all that they need, each after what it needs, by name with their bytes. A name
    /// without a file is built into the kernel and left out.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn with_needs(&self, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut loaded = Vec::new();
        for name in names {
            self.add(&name.replace('-', "_"), &mut loaded)?;
        }
        Ok(loaded)
    }

    fn add(&self, name: &str, loaded: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
        let Some(file) = self.files.get(name) else {
            return Ok(());
        };
        if loaded.iter().any(|(there, _)| there == name) {
            return Ok(());
        }
        let bytes = read(file)?;
        for need in needs(&bytes) {
            self.add(&need, loaded)?;
        }
        loaded.push((name.to_owned(), bytes));
        Ok(())
    }
}

/// The module's name, if it is the file of one.
fn name_of(file: &str) -> Option<String> {
    let stem = file
        .strip_suffix(".ko")
        .or_else(|| file.strip_suffix(".ko.xz"))?;
    Some(stem.replace('-', "_"))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(file).with_context(|| format!("cannot read `{}`", file.display()));
    }
    let output = Command::new("xz").arg("-dc").arg(file).output();
    let output = output.context("cannot run `xz`")?;
    if !output.status.success() {
        bail!("`xz` cannot unpack `{}`: {}", file.display(), output.status);
    }
    Ok(output.stdout)
}

fn needs(module: &[u8]) -> Vec<String> {
    let mut strings = module.split(|byte| *byte == 0);
    let line = strings.find_map(|string| string.strip_prefix(b"depends="));
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    let names = line.split(',').filter(|name| !name.is_empty());
    names.map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Modules;

    #[test]
    fn a_module_comes_after_what_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        for (name, needs) in [("a-top", "b_mid,c"), ("b-mid", "c"), ("c", ""), ("d", "")] {
            let text = format!("ELF\0license=GPL\0depends={needs}\0name=x\0");
            fs::write(folder.path().join(format!("{name}.ko")), text).unwrap();
        }
        let modules = Modules::find(folder.path()).unwrap();
        let loaded = modules.with_needs(&["built-in", "a-top", "c"]).unwrap();
        let names: Vec<_> = loaded.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["c", "b_mid", "a_top"]);
    }
}
