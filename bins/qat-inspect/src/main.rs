//! The inspector: parse, ask, print.
#![forbid(unsafe_code)]

mod args;
mod report;
mod table;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use qat_node::Looker;

use crate::args::{Args, Command, List};
use crate::report::Report;

#[expect(
    clippy::print_stderr,
    reason = "a command-line tool says what went wrong"
)]
fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qat-inspect: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let Command::List(list) = args.command;
    let text = list_text(&list)?;
    io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")
}

fn list_text(list: &List) -> anyhow::Result<String> {
    let roots = list.roots.resolve();
    roots.check()?;
    let look = Looker::new(&roots, list.rules()).look(&BTreeSet::new())?;
    let report = Report::new(&look);
    if list.json {
        Ok(serde_json::to_string_pretty(&report).context("cannot write JSON")? + "\n")
    } else {
        Ok(report.to_string())
    }
}

/// Whoever reads our output, `head` say, may stop reading.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}
