//! Builds the two binaries that the demo runs.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::say::{chapter, explain};

/// The binaries of this workspace.
pub(crate) struct Binaries {
    pub(crate) plugin: PathBuf,
    pub(crate) inspect: PathBuf,
}

impl Binaries {
    /// Builds both with the cargo that runs the demo, and says so first.
    pub(crate) fn build() -> anyhow::Result<Self> {
        chapter("Build");
        explain(
            "Building qat-plugin and qat-inspect; what they share with this demo is built already, \
             the rest takes about half a minute on two cores.",
        );
        let before = Instant::now();
        let output = Command::new(env!("CARGO"))
            .args(["build", "--package=qat-plugin", "--package=qat-inspect"])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        ensure!(
            output.status.success(),
            "the build failed: {}",
            output.status
        );
        let messages = String::from_utf8(output.stdout).context("cargo's messages")?;
        let find = |name: &str| {
            messages
                .lines()
                .filter_map(executable)
                .find(|path| path.file_stem().is_some_and(|stem| stem == name))
                .with_context(|| format!("cargo built no {name}"))
        };
        let binaries = Self {
            plugin: find("qat-plugin")?,
            inspect: find("qat-inspect")?,
        };
        explain(&format!("Built in {} s.", before.elapsed().as_secs()));
        Ok(binaries)
    }
}

/// The executable that a message of cargo names.
fn executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    message.get("executable")?.as_str().map(PathBuf::from)
}
