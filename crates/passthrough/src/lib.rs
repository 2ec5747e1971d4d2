//! Hands PCI functions on a VFIO driver to a container, or to a virtual machine in it.
//!
//! # What a workload needs
//!
//! A program that drives a PCI function from user space needs three things of VFIO
//! (Documentation/driver-api/vfio.rst): the control node `/dev/vfio/vfio`, which every user of
//! the group interface shares; the node `/dev/vfio/<group>` of the function's IOMMU group, which
//! one user at a time may open; and the function's address, since the kernel gives out a device of
//! a group by its name. Nodes are files, so the kubelet can pass them on. The address is not, so
//! it travels in the environment, and each consumer looks for it under a name of its own.
//!
//! [`edits`] writes the whole answer for the functions of one resource. It is a pure function:
//! what is granted, and whether it is still usable, the caller has asked the host before.
//! [`Pool`] asks: it finds the functions with certain ids, and hands them out.
//!
//! # Who reads what
//!
//! What follows in words is in [`contract`] as data, one list of rules for each consumer, with a checker for answers.
//!
//! With the resource `example.com/fast` and two functions:
//!
//! | variable | value | read by |
//! |---|---|---|
//! | `PCI_RESOURCE_EXAMPLE_COM_FAST` | `0000:6b:00.1,0000:6b:00.2` | KubeVirt |
//! | `PCIDEVICE_EXAMPLE_COM_FAST` | the same | Kata's agent, DPDK images made for SR-IOV devices |
//! | `PCIDEVICE_EXAMPLE_COM_FAST_INFO` | JSON, by address | programs that want the nodes as well |
//! | `<PREFIX>0`, `<PREFIX>1`, … | an address each | images that expect numbered variables |
//!
//! In a name the resource is in capitals, with `/` and `.` as `_`. **A dash stays a dash**, because
//! that is how the readers compute the name (`ResourceNameToEnvVar` in KubeVirt's
//! pkg/util/util.go). A shell cannot read such a variable, so a resource with a dash gets
//! `PCIDEVICE_…` once more with `_` for `-`: see [`sriov_shell_variable`].
//!
//! **KubeVirt** (`permittedHostDevices` with `externalResourceProvider: true`). virt-launcher takes
//! one address per requested host device off `PCI_RESOURCE_…`, front to back, and gives it to
//! libvirt with `managed='no'`: nobody rebinds the driver. More addresses than requested would
//! shift the others, so the list holds what was allocated and nothing else. The same resource must
//! never appear as `MDEV_PCI_RESOURCE_…` too: KubeVirt would count two devices for one request and
//! refuse the machine. This crate never writes that name. virt-handler adjusts the owner of the
//! nodes only where `/dev/vfio/vfio` is present, so the control node comes with every group node.
//! KubeVirt takes addresses with a domain of four digits only.
//!
//! **Kata Containers**. The runtime takes every node below `/dev/vfio/`, except `/dev/vfio/vfio`,
//! for one device to plug, and finds the address by itself. A function with two nodes would be
//! plugged twice, so a function for Kata has one ([`VfioInterface`]). In the guest the function has another
//! address. Kata's agent corrects the environment, but only variables named `PCIDEVICE_*` whose
//! value is nothing but full addresses, and, as plain text, their `_INFO` twin. All other
//! variables keep the host's address: inside Kata, read `PCIDEVICE_…`.
//!
//! **DPDK and other user space drivers** in an ordinary container open the nodes and take the
//! address from any of the variables, for example `dpdk-test -a "$PCIDEVICE_EXAMPLE_COM_FAST"`
//! for one function. They compute the path of the group node from the group's number, so it has the
//! same name in the container as on the host. The exception is the kernel's no-IOMMU mode: there
//! the host's node is `/dev/vfio/noiommu-7`, and the container gets it as `/dev/vfio/7`, which is
//! what the SR-IOV network device plugin does as well.
//!
//! # Nodes
//!
//! The control node is first, then the functions' nodes in address order, each container path
//! once. Permissions are `rw`. The `m` that many plugins add would let the container make such a node
//! by itself (`mknod`, Documentation/admin-guide/cgroup-v1/devices.rst). The runtime has made it
//! already, and to open it `r` and `w` are enough.
//!
//! # UIO
//!
//! A function on a driver of the kernel's UIO comes with its node `/dev/uio<N>` and, as a mount that can
//! be written to, with `/sys/class/uio/uio<N>/device`: what Intel's plugin gives for `igb_uio`. There is no
//! control node, and **no IOMMU protects the host** from such a function. The variables are the same; in
//! `_INFO` it says `uio` instead of `vfio`. No virtual machine can use one.
//!
//! # One container, several resources
//!
//! The kubelet asks once per resource and merges the answers. Equal nodes are merged. Of two
//! variables with one name, one survives, and nobody can say which. Two resources of one node should
//! therefore not share a name, which [`clash`] finds out. Numbered variables of one prefix do clash in a container that
//! asks for two resources. They are not numbered on from one resource to the next, because a plugin is not told which
//! others a container has; such a container reads the other variables, or each resource gets a [`NumberedPrefix`] of its own.
//!
//! # CDI
//!
//! [`cdi_spec`] describes the functions of a whole resource for runtimes that look devices up by
//! themselves; [`device_plugin::cdi`] says which. Kata plugs every node of a CDI device, so the
//! device has the function's node alone, and the control node is for all of them.
//!
//! # Interfaces
//!
//! Which nodes a function comes with is the caller's choice ([`VfioInterface`]), since what one consumer needs breaks
//! another.
//!
//! # What is not covered
//!
//! `/dev/iommu` and the socket through which KubeVirt passes it on.
#![forbid(unsafe_code)]

mod cdi;
pub mod contract;
mod edits;
mod functions;
mod grant;
mod info;
mod interface;
mod names;
mod pool;
mod prefix;

pub use crate::cdi::cdi_spec;
pub use crate::edits::edits;
pub use crate::grant::{FunctionNode, Grant, GrantedFunction};
pub use crate::interface::{Chosen, InterfaceError, VfioInterface};
pub use crate::names::{
    clash, kubevirt_variable, sriov_info_variable, sriov_shell_variable, sriov_variable,
};
pub use crate::pool::Pool;
pub use crate::prefix::{NumberedPrefix, PrefixError};
