//! The inspector: parse, ask, print.
#![forbid(unsafe_code)]

mod args;
mod check;
mod checkup;
mod consumers;
mod known;
mod list;
#[cfg(feature = "probe")]
mod probe;
mod report;
mod table;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Error};
use clap::Parser as _;

use crate::args::{Args, Command};

#[expect(
    clippy::print_stderr,
    reason = "a command-line tool says what went wrong"
)]
fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qat-inspect: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (text, code) = match &args.command {
        Command::List(list) => (list::text(list)?, ExitCode::SUCCESS),
        Command::Check(check) => check::text(check)?,
    };
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    Ok(code)
}

/// Whoever reads our output, `head` say, may stop reading.
fn is_broken_pipe(error: &Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
