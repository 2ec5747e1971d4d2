//! A machine in a file, looked at on another machine.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use vm_tests::{Programs, Report};

/// The case in the machine that writes what is compared here.
pub(crate) const CASE: &str = "inspect::a_snapshot_says_what_its_machine_said";

/// What is compared here.
pub(crate) const NAME: &str = "host::a_snapshot_says_here_what_its_machine_said";

/// What the case writes.
#[derive(Deserialize)]
struct Taken {
    /// The snapshot.
    snapshot: Value,
    /// Questions, each with what `qat-inspect` answered in the machine.
    answers: Vec<(Vec<String>, String)>,
}

/// Asks the snapshot here what the machine was asked there.
///
/// # Errors
///
/// An answer that differs, or none to compare.
pub(crate) fn compare(report: &Report, programs: &Programs) -> Result<()> {
    let taken: Taken = serde_json::from_str(&report.written)
        .context("what came over the machine's second serial port is not what its case writes")?;
    ensure!(!taken.answers.is_empty(), "the machine was asked nothing");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("node.json");
    fs::write(&file, taken.snapshot.to_string())?;
    for (question, there) in taken.answers {
        let here = Command::new(programs.path("qat-inspect"))
            .args(&question)
            .arg("--from")
            .arg(&file)
            .output()?;
        let here = String::from_utf8(here.stdout)?;
        ensure!(
            here == there,
            "`qat-inspect {}` says there:\n{there}\nand here:\n{here}",
            question.join(" ")
        );
    }
    Ok(())
}
