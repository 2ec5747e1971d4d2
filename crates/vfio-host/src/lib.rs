//! What VFIO needs to know of a host: IOMMU groups, their viability, device nodes.
//!
//! # The concepts
//!
//! **VFIO** lets a process (a virtual machine monitor, a user-space driver) drive a PCI function
//! itself. The function is bound to a VFIO driver in the kernel, usually `vfio-pci`, and the process
//! opens a device node.
//!
//! **The IOMMU** stands between devices and memory. It translates the addresses of a device's DMA, so
//! that a function which obeys a process can reach the memory of that process and no other.
//!
//! **An IOMMU group** is the smallest set of functions that the IOMMU can keep apart from the rest.
//! SR-IOV virtual functions usually have a group each. Below a PCI switch or bridge without ACS
//! (Access Control Services) functions can reach each other behind the IOMMU's back, and so they
//! share a group. A group is given to one owner as a whole. Group numbers are dynamic: they may change
//! at boot and when virtual functions are made anew.
//!
//! **Viability.** A group can be used through VFIO only while no member is driven by the kernel for
//! purposes of its own, since that driver's memory would be within the owner's reach. Harmless are:
//! members without a driver, members on a VFIO driver, and the few drivers that do no DMA of
//! their own (`driver_managed_dma` in the kernel: `pci-stub` and the port driver `pcieport`).
//! A group with any other driver is refused when it is opened for use, with `EPERM` since Linux
//! 5.19. [`Group::viability`] tells who stands in the way.
//!
//! **Container, group, device.** In VFIO's first interface a process opens `/dev/vfio/vfio` (a
//! *container*: an address space), opens `/dev/vfio/<group>`, puts the group into the container
//! and asks the group for the device by its PCI address. It needs both nodes. The group's node
//! exists while a member is bound to a VFIO driver, and only one process can have it open
//! (`Documentation/driver-api/vfio.rst`).
//!
//! **Cdev and iommufd.** In the newer interface a process opens `/dev/iommu` (an address space) and
//! a node per device, `/dev/vfio/devices/vfio<X>` (Linux 6.6, `CONFIG_VFIO_DEVICE_CDEV`). `X` is
//! the name of the directory `vfio-dev/vfio<X>` of the device in sysfs. That directory exists since
//! 6.1, without a `dev` file where the kernel makes no such nodes.
//!
//! **No-IOMMU mode.** Without an IOMMU the kernel can be told to give out devices all the same
//! (`enable_unsafe_noiommu_mode`). It makes a group named `vfio-noiommu` per function, the node is
//! `/dev/vfio/noiommu-<group>`, the kernel is tainted, and the user needs `CAP_SYS_RAWIO`. Nothing
//! confines the device then.
//!
//! **UIO** is the older way to user space, and has no IOMMU, no groups and no protection at all. Some
//! still use it, so a function on a UIO driver can be looked at here too: [`uio_node`].
//!
//! # What a runtime needs
//!
//! | Interface | Nodes |
//! |---|---|
//! | group (type 1) | `/dev/vfio/vfio` and `/dev/vfio/<group>`, once per group |
//! | cdev (iommufd) | `/dev/iommu` and `/dev/vfio/devices/vfio<X>`, once per function |
//! | no-IOMMU | `/dev/vfio/vfio` and `/dev/vfio/noiommu-<group>` |
//! | UIO | `/dev/uio<N>` and the directory `/sys/class/uio/uio<N>/device` |
//!
//! Users parse the group's number out of the node's name, so the path in a container is the one of
//! the host; for no-IOMMU see [`VfioNode::container_path`]. Beside the nodes a user must be allowed
//! to pin memory (`RLIMIT_MEMLOCK`).
//!
//! # The interface of this crate
//!
//! - [`groups`] arranges a scan of `sysfs-pci` into groups. It reads nothing.
//! - [`control_node`], [`group_node`] and [`cdev_node`] tell which nodes are really there.
//! - [`Host::recheck`] asks the machine about one function now: can it be handed out?
//! - [`read_group`] reads one group now.
//! - [`bind`] plans and executes binding and giving back, with records in a [`StateDir`].
//! - [`worker`] gives the commands that may never return, from a process that can be left behind.
//! - [`uio_node`] and [`Host::recheck_uio`] do the same for a function on a UIO driver.
//! - With the feature `probe`, `probe` and `Host::probe_group` ask VFIO itself, and `ContainerFile`,
//!   `GroupFile` and `DeviceFile` open a device as a workload does, which is for tests on a real kernel.
//!
//! Without that feature nothing here opens a device node, because opening the node of a group that a
//! process is about to use makes that process fail with `EBUSY`. Nothing but a worker reads an attribute
//! whose read can block behind a stuck unbind (`driver_override`, `uevent`, `sriov_numvfs`), or writes to
//! one.
//!
//! ```no_run
//! use vfio_host::Host;
//!
//! // `/sys` and `/dev` of this machine, and `vfio-pci` as the only VFIO driver.
//! let host = Host::default();
//! match host.recheck("0000:17:00.1".parse()?, None) {
//!     Ok(usable) => println!("hand out {}", usable.node.host_path.display()),
//!     Err(refusal) => println!("{refusal}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Not covered: making virtual functions, ioctls of VFIO beyond those of the probe, platform devices
//! other than as members of a group.

#![cfg_attr(not(feature = "probe"), forbid(unsafe_code))]
#![deny(unsafe_code)]

pub mod bind;
mod drivers;
mod error;
mod facts;
mod group;
mod holders;
#[cfg(feature = "probe")]
#[expect(
    unsafe_code,
    reason = "an ioctl is a promise that the compiler cannot check"
)]
mod ioctl;
mod live;
mod node;
mod numbers;
#[cfg(feature = "probe")]
mod probe;
mod recheck;
mod refusal;
mod root;
mod state_dir;
mod uio;
pub mod worker;

pub use drivers::VfioDrivers;
pub use error::{HostError, NodeError};
pub use facts::{denylist_disabled, iommu_present, is_no_iommu_group, is_read_only};
pub use group::{Group, Member, Viability, groups};
pub use holders::{Holder, PROC, holders};
#[cfg(feature = "probe")]
pub use ioctl::{
    ContainerFile, DeviceFile, DeviceInfo, DmaMemory, Extension, GroupFile, GroupStatus,
};
pub use live::read_group;
pub use node::{NodeKind, VfioNode, cdev_node, control_node, group_node};
pub use numbers::DeviceNumbers;
#[cfg(feature = "probe")]
pub use probe::{ContainerFacts, GroupProbe, ProbeError, probe};
pub use recheck::{Host, Usable};
pub use refusal::Refusal;
pub use root::DevRoot;
pub use state_dir::{DeviceLock, StateDir, StateError, boot_id};
pub use uio::{UioNode, UioRefusal, uio_node};
