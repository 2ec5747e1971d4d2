//! The ring with a real Linux kernel: machines in QEMU, and what happens in them.
//!
//! # The concept
//!
//! A simulated sysfs shows what we believe of the kernel. Here the kernel itself is asked: QEMU emulates
//! a machine with an IOMMU and with SR-IOV functions, a stock kernel of Debian drives it, and `vfio-pci`
//! binds to real virtual functions in real IOMMU groups. A kernel module of ours, the *twin*
//! (`tests/vm/twin`), shows the functions under the ids of QAT and has the files in sysfs that the QAT
//! drivers have. It all runs without root and without virtualisation in hardware.
//!
//! ```text
//! fetch ──► Kit      QEMU, kernel, modules, busybox, twin: fetched and built once
//! cargo ──► Programs the guest's program and our binaries, linked statically
//! Machine ──┬─► initramfs   programs, modules, and the plan: modules to load, cases to run
//!           └─► QEMU ──► serial console ──► Event, one per line that matters
//! ```
//!
//! The cases themselves are functions of the program in `tests/vm/guest`, which is the first process of
//! the machine as well.
#![forbid(unsafe_code)]

mod boot;
mod console;
mod initramfs;
mod kit;
mod machine;
mod modules;
mod nested;
mod programs;

pub use self::boot::{Boot, Ended, Report};
pub use self::console::Event;
pub use self::initramfs::Archive;
pub use self::kit::Kit;
pub use self::machine::{Machine, Pf};
pub use self::modules::Modules;
pub use self::programs::Programs;
