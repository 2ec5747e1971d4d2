//! A simulated node: the sysfs and dev trees of real machines, and a strict kubelet.
//!
//! A device plugin stands between two things that a test does not have: a
//! machine with the hardware, and a kubelet. This crate plays both, without
//! root, in a directory of the test's own. A plugin whose roots (`/sys`,
//! `/dev`, the kubelet's directory) are parameters runs against it unchanged.
//!
//! # The machine
//!
//! A [`Machine`] is a description in memory. It starts as a [`Profile`], a
//! machine as found in the field, or empty; [`Change`]s make it different;
//! [`Machine::write`] writes it and returns a [`SimNode`], whose methods then
//! do what a kernel does: unbind, unplug, take a node away.
//!
//! ```text
//! <root>/sys/bus/pci/{devices,drivers}      links and command files, as in sysfs
//! <root>/sys/devices/pci0000:6b/...         the functions: attributes with their modes
//! <root>/sys/kernel/iommu_groups/<N>        type, reserved_regions, devices
//! <root>/sys/class/{iommu,misc,vfio,vfio-dev}
//! <root>/sys/module/{vfio,vfio_pci}/parameters
//! <root>/sys/kernel/debug/qat_<driver>_<address>
//! <root>/dev/vfio/{vfio,<N>,devices/vfio<X>}
//! <root>/dev/uio<N>, sys/class/uio          of functions on a driver of UIO
//! <root>/kubelet/device-plugins             where the kubelet puts its socket
//! <root>/kubelet/pod-resources              where it tells which pod holds what
//! ```
//!
//! All links below `sys` are relative and read as the kernel writes them
//! (`kernfs_get_target_path`), so they resolve under any root. A file changes
//! in one step, as a sysfs attribute does. Read-only attributes of equal
//! content are one inode, so change them with [`SimNode::write_attr`] only.
//! [`scratch`] says where a tree is written fastest.
//!
//! **Device nodes** are links to `/dev/null`, and the files `dev` in sysfs
//! carry its numbers, 1:3. So a plugin's checks that a node is a character
//! device, and the right one, are real without root. Nothing can be done with such a node.
//!
//! # Writes
//!
//! Attributes are ordinary files, and a write changes the file and nothing else, unless the kernel
//! is played as well. There are two ways:
//!
//! - [`SimNode::write_as_kernel`] is `write(2)`: it does what the kernel does, blocks when the kernel
//!   blocks, and fails with the kernel's errno. For code under test that writes through a trait.
//! - [`SimNode::react`] starts a [`Reactor`] that does the same for what *other programs* write to
//!   the tree, a moment after they have closed the file. A plain file can return no errno, so what
//!   is refused changes nothing and is told by [`Reactor::refused`]; and whoever writes must wait for
//!   what it reads back.
//!
//! Both know `driver_override`, `bind`, `unbind`, `drivers_probe`, `sriov_numvfs`,
//! `sriov_drivers_autoprobe`, `qat/state`, `qat/cfg_services`, `qat/auto_reset` and two more; both keep a
//! record of every write. Kernels differ, so [`Machine::kernel`] says which one it is. What goes wrong
//! on real machines can be made to: [`SimNode::hold`], [`SimNode::fail_next_write`],
//! [`SimNode::grab_after_unbind`], [`SimNode::reset_pf`], [`SimNode::set_busy`].
//!
//! # What is not simulated
//!
//! - **Other writes**: `new_id`, `remove`, `rescan`, `reset`, `numa_node`, the `type` of a group and
//!   the rate limits of `qat_rl` are files that keep what is written.
//!
//! - **Reads that block.** While somebody holds a VF that must lose its driver, reads of
//!   `driver_override`, `uevent` and `sriov_numvfs` can hang on a real machine.
//! - **uevents and ioctls.** No netlink message is sent, no VFIO container works.
//! - **Numbers that change**: link speeds, resources and AER counters are
//!   plausible constants. NUMA nodes are known by number only.
//! - Errors on read (EIO, ENODEV on an open file), and the two-byte rules of
//!   command files.
//!
//! # A tree for your own device
//!
//! Nothing above is bound to QAT but the profiles. [`PfSpec`] describes a
//! function with VFs of any ids, [`FunctionSpec`] any other; both take
//! attributes of their own.
//!
//! ```
//! use node_sim::{Attribute, Change, FunctionSpec, Machine, Numa, PfSpec};
//!
//! let bridge = FunctionSpec::new("0000:5d:00.0".parse()?, "8086:352a".parse()?)
//!     .class(0x06_0400)
//!     .driver("pcieport");
//! let disk = FunctionSpec::new("0000:5e:00.0".parse()?, "144d:a824".parse()?)
//!     .class(0x01_0802)
//!     .behind("0000:5d:00.0".parse()?)
//!     .driver("nvme")
//!     .numa(Numa::Node(1))
//!     // Exists while the function is bound to its own driver, `nvme`.
//!     .driver_attribute("nvme/nvme0/state", Attribute::read_only("live\n"));
//!
//! let machine = Machine::new()
//!     .function(bridge)
//!     .pf(PfSpec::new(disk, "144d:a825".parse()?, 4).vf_driver("vfio-pci"));
//! let vfs = machine.vfs();
//!
//! // What does the plugin do about a VF that shares its group with a card on `ixgbe`?
//! let dir = node_sim::scratch()?;
//! let node = machine
//!     .with(Change::NicInGroup { of: vfs[2], driver: Some("ixgbe") })
//!     .write(dir.path())?;
//!
//! // And about one that goes away while it looks?
//! node.unplug(vfs[0])?;
//! assert_eq!(node.vfs().len(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The kubelet
//!
//! [`Kubelet`] serves the registration socket in
//! [`SimNode::kubelet_dir`] and treats plugins as the real one does, including
//! its less friendly habits; its own documentation lists them.
#![forbid(unsafe_code)]

pub mod consumer;
mod kubelet;
mod machine;
mod scratch;
mod uevents;

pub use kubelet::{
    AdmissionError, AnswerDevice, AnswerMount, Checkpoint, CheckpointEntry, Conflict, ConflictKind,
    ContainerAnswer, Damage, Event, EventKind, Fault, Kubelet, KubeletOptions, PluginOptions, Pod,
    PodResources, PodSpec, Reregistration, ResourceView, Restart, SimDevice, StartError, StreamEnd,
    Transcript, WaitTimeout,
};
pub use machine::{
    Attribute, CdevNodes, Change, DescriptionError, FunctionSpec, Heartbeat, KernelRelease,
    Machine, Numa, PfSpec, Profile, Reactor, SimError, SimNode, WriteOutcome, WriteRecord,
};
pub use scratch::scratch;
pub use uevents::Uevents;
