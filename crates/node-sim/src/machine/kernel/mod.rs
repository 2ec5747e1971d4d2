//! What a kernel does when somebody writes to an attribute.
//!
//! In sysfs a file is a function of the kernel: `write(2)` calls it and returns what it says. Here
//! files are files, so the same rules are offered in two forms. `SimNode::write_as_kernel` is the
//! call: it returns when the kernel would, with its errno. `SimNode::react` watches the tree and
//! makes the call for what other processes write, a moment later.
//!
//! A write is first matched to what it is for (`target`), then judged (`dispatch` and the modules
//! by subject). What it does is a row of steps (`job`), because a driver that somebody keeps
//! from letting go stops the row in the middle, and what came before can be seen.

mod bind;
mod device;
mod dispatch;
mod errno;
mod faults;
mod job;
mod log;
mod options;
mod overlay;
mod reactor;
mod services;
mod sriov;
mod target;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rustix::io::Errno;
use sysfs_pci::PciAddress;

use job::Pending;
use log::Log;
use target::Target;

pub use log::{WriteOutcome, WriteRecord};
pub use options::KernelRelease;
pub use reactor::Reactor;

/// What a kernel remembers between writes, besides the machine.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    /// Functions that a process has open.
    pub(super) held: BTreeSet<PciAddress>,
    /// PFs in reset, or used by the kernel itself.
    busy: BTreeSet<PciAddress>,
    /// Who takes a function as soon as its driver has let go.
    grabs: BTreeMap<PciAddress, String>,
    /// What the next writes fail with.
    faults: BTreeMap<Target, VecDeque<Errno>>,
    /// Rows of steps that wait for a function to be released, oldest first.
    pending: VecDeque<Pending>,
    log: Log,
    /// Whether a reactor is at work.
    reacting: bool,
}
