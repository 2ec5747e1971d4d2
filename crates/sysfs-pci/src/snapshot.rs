//! What a scan found.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::address::PciAddress;
use crate::driver::DriverName;
use crate::error::AttrError;
use crate::ids::{ClassCode, PciId};
use crate::numbers::{IommuGroupId, NumaNode, VfIndex};

/// The PCI functions of a machine at one moment, and what could not be read of them.
///
/// Every entry of `bus/pci/devices` is in `functions`, `neighbours` or `vanished`, or has a
/// failure. One entry that cannot be read does not hide the others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// The functions that the caller wanted to look at.
    pub functions: BTreeMap<PciAddress, Function>,
    /// All others, with as much as is needed to judge a shared IOMMU group.
    pub neighbours: BTreeMap<PciAddress, Neighbour>,
    /// What could not be read, in the order of the entries' names.
    ///
    /// A function with a failure is missing from `functions`, because a wrong driver or group
    /// would be worse than none. It is among `neighbours` instead if its ids and its group can be
    /// read: whoever shares the group must know of it. Two details are not worth that: a function
    /// stays, without the detail, if its NUMA node or one of its `virtfnN` links is garbage.
    pub failures: Vec<ScanFailure>,
    /// Functions that were unplugged between listing and reading. This is normal.
    pub vanished: Vec<PciAddress>,
}

/// A function that the caller wanted to look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor and device.
    pub id: PciId,
    /// Vendor and device of the board or package.
    pub subsystem: PciId,
    /// What kind of thing it is.
    pub class: ClassCode,
    /// The driver that is bound to it, `None` if there is none.
    ///
    /// The kernel makes the link before the driver's probe has ended and removes it before the
    /// unbinding has: the link says what is going on, not that it is done.
    pub driver: Option<DriverName>,
    /// Its IOMMU group, `None` if there is no IOMMU or it is switched off.
    pub iommu_group: Option<IommuGroupId>,
    /// Its part in SR-IOV.
    pub role: Role,
}

/// The part that a function plays in SR-IOV.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// A function that the caller wanted to see as a physical function ([`crate::Depth::Physical`]).
    Physical(Sriov),
    /// A virtual function of this machine: it has a `physfn` link.
    Virtual {
        /// Its physical function.
        pf: PciAddress,
        /// Its number there. `None` if the physical function was not looked at closely or has no
        /// link to this function.
        index: Option<VfIndex>,
    },
    /// A function on its own: a plain one, or a virtual function that a hypervisor gave to this
    /// machine, which looks the same from inside.
    ///
    /// While the kernel makes or removes a virtual function there is a moment without `physfn`
    /// link in which it looks like this too, without driver. A removal that waits for a user of
    /// the function can make that moment long.
    Standalone {
        /// Its NUMA node, `None` if sysfs does not know it.
        numa_node: Option<NumaNode>,
    },
}

/// The SR-IOV side of a physical function.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sriov {
    /// Its NUMA node and so that of its virtual functions; `None` if sysfs does not know it.
    pub numa_node: Option<NumaNode>,
    /// Whether the kernel can make virtual functions of it: it has the file `sriov_totalvfs`.
    /// Without it SR-IOV is switched off in the firmware or the kernel.
    pub capable: bool,
    /// Its virtual functions by number, from the `virtfnN` links. A link whose target has gone
    /// meanwhile still counts here; a link that names no address is a failure.
    pub vfs: BTreeMap<VfIndex, PciAddress>,
}

/// A function that the caller does not care for, or that could not be read as a function. It
/// matters if it shares an IOMMU group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor and device.
    pub id: PciId,
    /// What kind of thing it is.
    pub class: ClassCode,
    /// What drives it.
    pub driver: NeighbourDriver,
    /// Its IOMMU group, `None` if it has none. Read once in the life of the device.
    pub iommu_group: Option<IommuGroupId>,
}

/// What drives a neighbour. "Not known" is not "none".
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NeighbourDriver {
    /// Nobody looked: it is not in the IOMMU group of one of the snapshot's functions.
    NotRead,
    /// No driver is bound.
    None,
    /// A driver is bound.
    Bound {
        /// Its name.
        name: DriverName,
        /// Whether the function has a directory `vfio-dev` (Linux 6.1), which makes the driver
        /// one of VFIO whatever its name. Not looked for, and `false`, if the driver is
        /// `vfio-pci`, `pci-stub` or `pcieport`, whose names say enough.
        vfio: bool,
    },
    /// The link cannot be read; a failure says why. There may be any driver.
    Unreadable,
}

/// Something that could not be read of one entry of `bus/pci/devices`.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("PCI function `{name}` cannot be read")]
pub struct ScanFailure {
    /// The name of the entry.
    pub name: String,
    /// The same as an address, if it is one.
    pub address: Option<PciAddress>,
    /// What happened.
    #[source]
    pub error: AttrError,
}

// === impl NeighbourDriver ===

impl NeighbourDriver {
    /// The name of the driver, if one is known to be bound.
    pub fn name(&self) -> Option<&DriverName> {
        match self {
            Self::Bound { name, .. } => Some(name),
            Self::NotRead | Self::None | Self::Unreadable => None,
        }
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The NUMA node of a function; that of a virtual function comes from its physical function.
    ///
    /// `None` if sysfs does not know it, if the address is not in `functions`, or if the physical
    /// function was not looked at as one.
    pub fn numa_node(&self, address: PciAddress) -> Option<NumaNode> {
        match &self.functions.get(&address)?.role {
            Role::Physical(sriov) => sriov.numa_node,
            Role::Standalone { numa_node } => *numa_node,
            Role::Virtual { pf, .. } => match &self.functions.get(pf)?.role {
                Role::Physical(sriov) => sriov.numa_node,
                Role::Virtual { .. } | Role::Standalone { .. } => None,
            },
        }
    }

    /// Removes all that is said of a function.
    pub(crate) fn forget(&mut self, address: PciAddress) {
        self.functions.remove(&address);
        self.neighbours.remove(&address);
        self.failures
            .retain(|failure| failure.address != Some(address));
    }
}
