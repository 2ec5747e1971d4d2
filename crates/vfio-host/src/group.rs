//! IOMMU groups, and whether VFIO can have them.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::Serialize;
use sysfs_pci::{DriverName, IommuGroupId, PciAddress, Snapshot};

use crate::VfioDrivers;

/// Drivers that are no VFIO drivers and yet leave a group viable, since they do no DMA of their own:
/// `driver_managed_dma` is set in `drivers/pci/pci-stub.c` and `drivers/pci/pcie/portdrv.c`.
const HARMLESS: [&str; 2] = ["pci-stub", "pcieport"];

/// An IOMMU group: what one owner gets or nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The group's number. It may change at boot and when virtual functions are made anew.
    pub id: IommuGroupId,
    /// The members: PCI functions by address, then other devices by name.
    pub members: Vec<Member>,
}

/// A member of an IOMMU group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The name in the group's directory: the PCI address, or the name of a device on another bus.
    /// Where two members' names collide the kernel adds `.0`, `.1` and so on.
    pub name: String,
    /// The PCI address. `None`: not a PCI function.
    pub address: Option<PciAddress>,
    /// The driver, if one is bound.
    pub driver: Option<DriverName>,
    /// Whether the member has a `vfio-dev` directory (Linux 6.1), which makes its driver a VFIO driver
    /// whatever its name. Only live reads ([`read_group`](crate::read_group)) look, and only where a
    /// driver is bound.
    pub vfio: bool,
}

/// Whether VFIO can have a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Viability {
    /// No member stands in the way.
    Viable,
    /// Members are driven by the kernel for purposes of its own.
    Blocked {
        /// These members.
        by: Vec<Member>,
    },
}

// === impl Group ===

impl Group {
    /// Tells whether VFIO can have the group, and who stands in the way if not.
    ///
    /// `drivers` are the VFIO drivers by name. A variant driver that is not among them is recognised
    /// in live reads by its `vfio-dev` directory.
    pub fn viability(&self, drivers: &VfioDrivers) -> Viability {
        let by: Vec<_> = self
            .members
            .iter()
            .filter(|member| member.blocks(drivers))
            .cloned()
            .collect();
        if by.is_empty() {
            Viability::Viable
        } else {
            Viability::Blocked { by }
        }
    }

    /// The members beside the function at `address`.
    pub fn others(&self, address: PciAddress) -> impl Iterator<Item = &Member> {
        self.members
            .iter()
            .filter(move |member| member.address != Some(address))
    }
}

// === impl Member ===

impl Member {
    /// Whether the driver hands the member to user space through VFIO.
    pub fn is_vfio_bound(&self, drivers: &VfioDrivers) -> bool {
        self.driver
            .as_ref()
            .is_some_and(|driver| self.vfio || drivers.contains(driver))
    }

    /// Whether a driver is known by its name to leave a group viable.
    pub(crate) fn is_known_harmless(driver: &DriverName, drivers: &VfioDrivers) -> bool {
        drivers.contains(driver) || HARMLESS.contains(&driver.as_str())
    }

    fn blocks(&self, drivers: &VfioDrivers) -> bool {
        self.driver
            .as_ref()
            .is_some_and(|driver| !self.vfio && !Self::is_known_harmless(driver, drivers))
    }
}

/// The name and the driver: `0000:17:00.0 (igb)`.
impl Display for Member {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.driver {
            Some(driver) => write!(f, " ({driver})"),
            None => f.write_str(" (no driver)"),
        }
    }
}

/// Arranges what a scan found into groups. Reads nothing.
///
/// Only groups with at least one [`Function`](sysfs_pci::Function) are returned, but with all
/// their PCI members, the neighbours that the scan did not look at closely included. What a scan does
/// not see is missing here: devices on other buses, and functions that could not be read.
/// [`Host::recheck`](crate::Host::recheck) sees those.
pub fn groups(snapshot: &Snapshot) -> BTreeMap<IommuGroupId, Group> {
    let mut members: BTreeMap<IommuGroupId, BTreeMap<PciAddress, Member>> = BTreeMap::new();
    for function in snapshot.functions.values() {
        if let Some(group) = function.iommu_group {
            let member = from_scan(function.address, function.driver.as_ref());
            members
                .entry(group)
                .or_default()
                .insert(function.address, member);
        }
    }
    for neighbour in snapshot.neighbours.values() {
        if let Some(group) = neighbour
            .iommu_group
            .and_then(|group| members.get_mut(&group))
        {
            let member = from_scan(neighbour.address, neighbour.driver.as_ref());
            group.insert(neighbour.address, member);
        }
    }
    members
        .into_iter()
        .map(|(id, members)| {
            (
                id,
                Group {
                    id,
                    members: members.into_values().collect(),
                },
            )
        })
        .collect()
}

fn from_scan(address: PciAddress, driver: Option<&DriverName>) -> Member {
    Member {
        name: address.to_string(),
        address: Some(address),
        driver: driver.cloned(),
        vfio: false,
    }
}
