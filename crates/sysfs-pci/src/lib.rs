//! PCI functions as sysfs shows them.
//!
//! # What sysfs shows
//!
//! A *function* is the unit of PCI: a thing with an address, ids, and at most one driver. A network
//! card with two ports is one device with two functions. Linux shows each function as a directory
//! somewhere below `/sys/devices`, nested as the bridges are, and lists all of them, flat, as links
//! in `/sys/bus/pci/devices`. The name of the link is the [`PciAddress`]:
//!
//! ```text
//! /sys/bus/pci/devices/0000:6b:00.1 -> ../../../devices/pci0000:6b/0000:6b:00.1
//!     modalias         pci:v00008086d00001520sv00008086sd00000000bc02sc00i00
//!     driver       ->  ../../../bus/pci/drivers/vfio-pci
//!     iommu_group  ->  ../../../kernel/iommu_groups/320
//!     numa_node        0
//!     physfn       ->  ../0000:6b:00.0
//! ```
//!
//! Small files in the directory are *attributes*: reading one asks the kernel a question
//! (`Documentation/ABI/testing/sysfs-bus-pci`). Links are answers too, and the last component of
//! the target is what they say.
//!
//! - **What it is.** Vendor and device id ([`PciId`]) and a class ([`ClassCode`]). One attribute,
//!   `modalias`, has them all: [`Identity`].
//! - **Who drives it.** The link `driver`; no link, no driver ([`DriverName`]).
//! - **What it can reach.** The IOMMU decides which memory a function may access, and cannot tell
//!   all functions apart. Those that it cannot separate are one *IOMMU group* and must be given to
//!   the same user. The link `iommu_group` names it ([`IommuGroupId`]); without an IOMMU there is
//!   none.
//! - **Where it is near to.** `numa_node` says which memory and CPUs are close ([`NumaNode`]); -1
//!   means that the firmware did not say.
//! - **Its part in SR-IOV.** A *physical function* (PF) that supports SR-IOV can make *virtual
//!   functions* (VFs): functions with addresses, drivers and groups of their own, which share the
//!   hardware of the PF. The PF has a link `virtfnN` to each ([`VfIndex`]), each VF has a link
//!   `physfn` back. A hypervisor that passes a VF to a guest hides that: in the guest it looks like
//!   any function. These are the three cases of [`Role`].
//!
//! # Looking
//!
//! [`scan`] looks at everything once; a [`Scanner`] does so again and again, and does not read
//! twice what cannot change. The caller says for each pair of ids how closely to look ([`Depth`]),
//! and gets a [`Snapshot`]: plain data, which can be compared with the one before.
//!
//! ```
//! # use std::{fs, os::unix::fs::symlink};
//! use sysfs_pci::{Depth, PciId, Scanner, SysfsRoot};
//!
//! # let tree = tempfile::tempdir()?;
//! # for (name, device) in [("0000:6b:00.0", "1521"), ("0000:6b:00.1", "1520")] {
//! #     let path = tree.path().join("bus/pci/devices").join(name);
//! #     fs::create_dir_all(&path)?;
//! #     fs::write(path.join("numa_node"), "0\n")?;
//! #     fs::write(path.join("modalias"), format!("pci:v00008086d0000{device}sv00008086sd00000000bc02sc00i00\n"))?;
//! # }
//! # let devices = tree.path().join("bus/pci/devices");
//! # symlink("../0000:6b:00.1", devices.join("0000:6b:00.0/virtfn0"))?;
//! # symlink("../0000:6b:00.0", devices.join("0000:6b:00.1/physfn"))?;
//! # let root = SysfsRoot::new(tree.path());
//! let depth = |id: PciId| match (id.vendor, id.device) {
//!     (0x8086, 0x1521) => Depth::Physical,
//!     (0x8086, 0x1520) => Depth::Function,
//!     _ => Depth::Identity,
//! };
//! let mut scanner = Scanner::new(root); // or SysfsRoot::default() for /sys
//! let snapshot = scanner.scan(&depth)?;
//! for function in snapshot.functions.values() {
//!     println!("{} {} {:?}", function.address, function.id, function.role);
//! }
//! for failure in &snapshot.failures {
//!     eprintln!("{failure}");
//! }
//! # assert_eq!(snapshot.functions.len(), 2);
//! # assert_eq!(snapshot.failures, []);
//! assert_eq!(scanner.scan(&depth)?, snapshot);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Functions come and go while a scan runs. One that is gone by the time it is read is in
//! [`Snapshot::vanished`], and one that makes no sense is in [`Snapshot::failures`]; neither stops
//! the scan or hides another function.
//!
//! To look at one thing of one function now, there are functions such as [`driver`],
//! [`iommu_group`] and [`enable_count`].
//!
//! # What can block, and why
//!
//! Most attributes are answered from memory. A few take the lock of the device, and the kernel
//! holds that lock while it binds or unbinds a driver. An unbind from vfio-pci waits until the user
//! of the function lets go of it, which may be never, and a reader of such an attribute then waits
//! just as long, without a way to interrupt it. Nothing outside [`blocking`] reads these, and the
//! functions there ask for a proof that the caller can be abandoned.
//!
//! # Writing
//!
//! To write to an attribute is to give the kernel a command: bind this function, make virtual
//! functions. A [`Write`] is such a command as data, so that it can be planned, shown and handed to
//! a process that may be abandoned, and [`Write::perform`] gives it. The kernel answers with an
//! error number, which [`WriteError`] keeps.
//!
//! # What it costs
//!
//! All file system calls go through [`fs`], which counts them; [`Scanner`] has the table of what a
//! scan costs.
//!
//! # What is not here
//!
//! PCI configuration space, BARs and capabilities are not read, device nodes are not opened, and
//! nothing decides what to write.
#![forbid(unsafe_code)]

mod address;
mod attributes;
pub mod blocking;
mod cpus;
mod driver;
mod error;
pub mod fs;
mod identity;
mod ids;
mod numbers;
mod root;
mod scan;
mod snapshot;
mod text;
mod visit;
mod write;

pub use self::address::PciAddress;
pub use self::attributes::{
    driver, drivers_autoprobe, enable_count, identity, iommu_group, is_on_the_bus, local_cpus,
    numa_node, physfn, total_vfs, vf_links, vf_offset, vf_stride,
};
pub use self::cpus::CpuList;
pub use self::driver::DriverName;
pub use self::error::{AttrError, OsError, ScanError};
pub use self::identity::Identity;
pub use self::ids::{ClassCode, PciId};
pub use self::numbers::{IommuGroupId, NumaNode, VfIndex};
pub use self::root::SysfsRoot;
pub use self::scan::{Depth, Scanner, scan};
pub use self::snapshot::{
    Function, Neighbour, NeighbourDriver, Role, ScanFailure, Snapshot, Sriov,
};
pub use self::text::{ParseError, decimal};
pub use self::write::{AttributeName, Write, WriteError};
