//! An answer on standard output.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

/// Says something to who has asked.
pub(crate) fn text(text: &str) -> anyhow::Result<ExitCode> {
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
