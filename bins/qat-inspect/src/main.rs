//! The inspector: parse, ask, print.
#![forbid(unsafe_code)]

mod answer;
mod args;
mod ask;
mod catalogue;
mod check;
mod checkup;
mod column;
mod confinement;
mod consumers;
mod explain;
mod finding;
mod fit;
mod groups;
mod known;
mod list;
mod machine;
mod manifest;
mod names;
mod paint;
mod pods;
mod pools;
#[cfg(feature = "probe")]
mod probe;
mod report;
#[cfg(test)]
mod schema;
mod show;
mod site;
mod snapshot;
mod table;
mod tree;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;

#[expect(
    clippy::print_stderr,
    reason = "a command-line tool says what went wrong"
)]
fn main() -> ExitCode {
    match ask::ask(&Args::parse()) {
        Ok(code) => code,
        Err(error) if ask::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qat-inspect: {error:#}");
            ExitCode::from(2)
        }
    }
}
