//! What runs in the machines of the ring with a real Linux kernel: their first process, and the cases.
//!
//! | started as | it is |
//! |---|---|
//! | the first process | mounts, loads modules, runs the cases in a child, switches the machine off |
//! | `init run` | runs the cases of `/plan` and reports each on the console |
//! | `init worker` | a worker of `vfio-host` |
//! | `init hold VF` | has a VF open until its standard input is closed |
//! | `init contain ROOT MEMLOCK PROGRAM…` | becomes a program in a container: another root, an ordinary user |
//! | `init use` | in a container: opens every function that its environment names, until its standard input is closed |
//! | `init force PF VF` | unbinds a VF that is open, and leaves its worker behind |
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
mod container;
mod guest;
mod holder;
mod init;
mod plan;
mod qmp;
mod run;
mod scene;

use std::env;
use std::process::{self, ExitCode};

use sysfs_pci::SysfsRoot;
use vfio_host::worker;

fn main() -> ExitCode {
    if process::id() == 1 {
        init::main();
    }
    let args: Vec<_> = env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["list"] => {
            for (name, _) in cases::all() {
                println!("{name}");
            }
        }
        ["run"] => run::main(),
        ["hold", vf] => holder::hold(vf),
        ["force", pf, vf] => holder::force(pf, vf),
        ["contain", root, memlock, ref program @ ..] => container::contain(root, memlock, program),
        ["use"] => return container::use_functions(),
        ["worker"] => {
            if let Err(error) = worker::serve(&SysfsRoot::default()) {
                eprintln!("worker: {error}");
                return ExitCode::FAILURE;
            }
        }
        _ => {
            eprintln!("usage: vm-guest list; everything else is for the machines of tests/vm");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
