//! IOMMU groups, and whether VFIO can have them.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::Serialize;
use sysfs_pci::{
    DriverName, Function, IommuGroupId, Neighbour, NeighbourDriver, PciAddress, Snapshot,
};

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
    /// The driver, if one is known to be bound.
    pub driver: Option<DriverName>,
    /// Whether the driver could not be read. There may be any, so such a member blocks its group.
    /// Only scans have this ([`groups`]); a live read ([`read_group`](crate::read_group)) fails.
    pub driver_unreadable: bool,
    /// Whether the member has a `vfio-dev` directory (Linux 6.1), which makes its driver a VFIO driver
    /// whatever its name. Looked for only where a driver is bound; by scans only for neighbours whose
    /// driver's name does not say enough
    /// ([`NeighbourDriver::Bound`](sysfs_pci::NeighbourDriver::Bound)).
    pub vfio: bool,
}

/// Whether VFIO can have a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Viability {
    /// No member stands in the way.
    Viable,
    /// Members are driven by the kernel for purposes of its own, or may be.
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
    /// by the member's `vfio-dev` directory. A member whose driver could not be read stands in the
    /// way.
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
        self.driver_unreadable
            || self
                .driver
                .as_ref()
                .is_some_and(|driver| !self.vfio && !Self::is_known_harmless(driver, drivers))
    }
}

impl From<&Function> for Member {
    fn from(function: &Function) -> Self {
        Self {
            name: function.address.to_string(),
            address: Some(function.address),
            driver: function.driver.clone(),
            driver_unreadable: false,
            vfio: false,
        }
    }
}

impl From<&Neighbour> for Member {
    fn from(neighbour: &Neighbour) -> Self {
        Self {
            name: neighbour.address.to_string(),
            address: Some(neighbour.address),
            driver: neighbour.driver.name().cloned(),
            driver_unreadable: matches!(
                neighbour.driver,
                NeighbourDriver::NotRead | NeighbourDriver::Unreadable
            ),
            vfio: matches!(neighbour.driver, NeighbourDriver::Bound { vfio: true, .. }),
        }
    }
}

/// The name and the driver: `0000:17:00.0 (igb)`.
impl Display for Member {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.driver {
            Some(driver) => write!(f, " ({driver})"),
            None if self.driver_unreadable => f.write_str(" (driver unreadable)"),
            None => f.write_str(" (no driver)"),
        }
    }
}

/// Arranges what a scan found into groups. Reads nothing.
///
/// Only groups with at least one [`Function`](sysfs_pci::Function) are returned, but with all
/// their PCI members, the neighbours that the scan did not look at closely included. What a scan does
/// not see is missing here: devices on other buses, and functions whose ids or group could not be
/// read. [`Host::recheck`](crate::Host::recheck) sees those.
pub fn groups(snapshot: &Snapshot) -> BTreeMap<IommuGroupId, Group> {
    let mut members: BTreeMap<IommuGroupId, BTreeMap<PciAddress, Member>> = BTreeMap::new();
    for function in snapshot.functions.values() {
        if let Some(group) = function.iommu_group {
            let member = Member::from(function);
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
            group.insert(neighbour.address, Member::from(neighbour));
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
