//! What runs in the machines of the ring with a real Linux kernel: their first process, and the cases.
//!
//! | started as | it is |
//! |---|---|
//! | the first process | mounts, loads modules, runs the cases in a child, switches the machine off |
//! | `init run` | runs the cases of `/plan` and reports each on the console |
//! | `init worker` | a worker of `vfio-host` |
//! | `vm-guest list` | lists the cases; this runs on the host |
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a case reports its failure by a panic, and the console is what it is seen on"
)]

mod bench;
mod cases;
mod guest;
mod init;
mod plan;
mod run;

use std::env;
use std::process::{self, ExitCode};

use sysfs_pci::SysfsRoot;
use vfio_host::worker;

fn main() -> ExitCode {
    if process::id() == 1 {
        init::main();
    }
    match env::args().nth(1).as_deref() {
        Some("list") => {
            for (name, _) in cases::all() {
                println!("{name}");
            }
            ExitCode::SUCCESS
        }
        Some("run") => {
            run::main();
            ExitCode::SUCCESS
        }
        Some("worker") => match worker::serve(&SysfsRoot::default()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("worker: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: vm-guest list; everything else is for the machines of tests/vm");
            ExitCode::FAILURE
        }
    }
}
