//! Processes that stand in each other's way.

use std::io::{BufRead as _, BufReader, stdin};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sysfs_pci::{PciAddress, Write};
use vfio_host::worker::{Hands as _, HandsError, Patience};

use crate::bench::{Bench, vfio_pci};

/// How long the worker of [`force`] is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Another process that has a VF open, as a workload does.
#[derive(Debug)]
pub(crate) struct Holder {
    child: Child,
    /// The process lets go when this is closed.
    lifeline: Option<ChildStdin>,
}

impl Holder {
    /// Returns when the VF is open.
    pub(crate) fn of(vf: PciAddress) -> Self {
        let mut child = Command::new("/proc/self/exe")
            .args(["hold", &vf.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        let lifeline = child.stdin.take();
        Self { child, lifeline }
    }

    /// Has it let go, and end.
    pub(crate) fn let_go(mut self) {
        drop(self.lifeline.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// The process of a [`Holder`].
pub(crate) fn hold(vf: &str) {
    let held = Bench::new().open(vf.parse().unwrap()).unwrap();
    println!("held");
    // Until the other end is closed.
    let _line = stdin().lock().lines().next();
    drop(held);
}

/// Starts a process that takes a VF from `vfio-pci` whoever has it open, by a worker that it leaves behind.
pub(crate) fn start_force(pf: PciAddress, vf: PciAddress) -> Child {
    let arguments = ["force".to_owned(), pf.to_string(), vf.to_string()];
    Command::new("/proc/self/exe")
        .args(arguments)
        .spawn()
        .unwrap()
}

/// That process.
pub(crate) fn force(pf: &str, vf: &str) {
    let (pf, address) = (pf.parse().unwrap(), vf.parse().unwrap());
    let bench = Bench::with_patience(Patience {
        device: PATIENCE,
        function: PATIENCE,
    });
    let lock = bench.lock(pf);
    let mut worker = bench.worker(&lock);
    let driver = vfio_pci();
    let error = worker
        .write(&Write::Unbind { address, driver })
        .unwrap_err();
    assert!(matches!(error, HandsError::Stuck { .. }), "{error}");
    let mut abandoned = worker.abandon().expect("it is stuck");
    assert!(!abandoned.has_ended());
}

/// Waits for a process to end well, for so long.
pub(crate) fn ends_within(child: &mut Child, limit: Duration) {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return;
        }
        assert!(
            Instant::now() < deadline,
            "process {} has not ended",
            child.id()
        );
        sleep(Duration::from_millis(5));
    }
}
