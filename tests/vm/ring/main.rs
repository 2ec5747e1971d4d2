//! Runs the ring with a real Linux kernel.
//!
//! ```text
//! cargo test -p vm-tests --features ring                  all
//! cargo test -p vm-tests --features ring -- bind          what has `bind` in its name
//! cargo test -p vm-tests --features ring -- --console     with everything that the machines say
//! cargo test -p vm-tests --features ring -- --list        the names
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "it reports to a person")]

mod machines;
mod report;
mod snapshot;

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use vm_tests::{Kit, Programs};

use self::machines::machines;
use self::report::Tally;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all passed.
fn run() -> Result<bool> {
    let (flags, filters): (Vec<_>, Vec<_>) =
        env::args().skip(1).partition(|arg| arg.starts_with('-'));
    let flag = |name: &str| flags.iter().any(|flag| flag == name);
    let programs = Programs::build()?;
    let wanted =
        |case: &String| filters.is_empty() || filters.iter().any(|filter| case.contains(filter));
    let cases: Vec<_> = programs.cases()?.into_iter().filter(wanted).collect();
    if flag("--list") {
        println!("{}", cases.join("\n"));
        return Ok(true);
    }
    let kit = Kit::get()?;
    let mut tally = Tally::new(flag("--console"));
    for (name, boot) in machines(&cases)? {
        let before = Instant::now();
        println!("\nmachine `{name}`");
        let report = boot.run(&kit, &programs, &mut |event, said| tally.heard(event, said))?;
        tally.ended(&boot, &report, before.elapsed());
        if boot.cases.iter().any(|case| case == snapshot::CASE) {
            tally.compared(snapshot::NAME, snapshot::compare(&report, &programs));
        }
    }
    Ok(tally.finish())
}
