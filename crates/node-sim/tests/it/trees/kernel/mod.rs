//! The kernel behind writes: what it does, what it refuses, what keeps it waiting.

mod errnos;
mod provisioning;
mod reactor;
mod waiting;

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use node_sim::{SimNode, WriteOutcome};

/// Longer than any wait takes when the code is right.
const DEADLINE: Duration = Duration::from_secs(20);

const EBUSY: i32 = 16;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const EIO: i32 = 5;
const ENODEV: i32 = 19;
const ENOENT: i32 = 2;
const ERANGE: i32 = 34;

/// The path of an attribute of a function.
fn of(address: &str, name: &str) -> String {
    format!("bus/pci/devices/{address}/{name}")
}

/// A command file of a driver.
fn driver(name: &str, command: &str) -> String {
    format!("bus/pci/drivers/{name}/{command}")
}

/// Writes by the kernel's rules; the error is the errno.
fn kernel(node: &SimNode, path: &str, text: &str) -> Result<(), i32> {
    node.write_as_kernel(path, text.as_bytes())
        .map_err(|error| error.raw_os_error().expect("an errno"))
}

/// Writes as `echo text > path` does: truncates, and writes once.
fn echo(node: &SimNode, path: &str, text: &str) {
    let file = OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(node.sysfs().join(path));
    file.unwrap()
        .write_all(format!("{text}\n").as_bytes())
        .unwrap();
}

/// Writes as a careful program does: one write to a file that must exist, and no truncation.
fn poke(node: &SimNode, path: &str, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .open(node.sysfs().join(path))?;
    file.write_all(text.as_bytes())
}

/// The names of files that were written to, and what came of it.
fn outcomes(node: &SimNode) -> Vec<(String, WriteOutcome)> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let writes = node.writes();
    writes
        .iter()
        .map(|record| (name(&record.path), record.outcome))
        .collect()
}
