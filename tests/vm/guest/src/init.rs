//! The first process: what a system's start does, and its end.

use std::fs::{File, create_dir_all};
use std::process::Command;

use rustix::mount::{MountFlags, mount};
use rustix::process::{WaitOptions, wait};
use rustix::system::{RebootCommand, reboot};

use crate::guest::insmod;
use crate::plan::Plan;

/// The child that runs the cases is killed with nothing lost: the harness knows which were done.
pub(crate) fn main() -> ! {
    for (kind, at) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("debugfs", "/sys/kernel/debug"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/run"),
    ] {
        create_dir_all(at).unwrap();
        mount(kind, at, kind, MountFlags::empty(), None).unwrap();
    }
    // The kernel opens the console for its first process only if there was a node for it.
    let console = File::options()
        .read(true)
        .write(true)
        .open("/dev/console")
        .unwrap();
    let other = || console.try_clone().unwrap();
    for (name, parameters) in Plan::read().modules {
        insmod(&name, &parameters);
    }
    let child = Command::new("/init")
        .arg("run")
        .stdin(other())
        .stdout(other())
        .stderr(other())
        .spawn();
    let child = child.unwrap().id();
    // Orphans are ours too.
    while let Ok(Some((ended, _))) = wait(WaitOptions::empty()) {
        if u32::try_from(ended.as_raw_nonzero().get()) == Ok(child) {
            break;
        }
    }
    reboot(RebootCommand::PowerOff).unwrap();
    panic!("the machine is still on");
}
