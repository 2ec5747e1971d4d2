//! Looking at one entry of `bus/pci/devices`.

use std::path::Path;

use crate::address::PciAddress;
use crate::attributes::{driver_at, identity_at, iommu_group_at, numa_node_at, physfn_at};
use crate::driver::DriverName;
use crate::error::AttrError;
use crate::fs::{Base, Entry, link_value, list_at, require, stat_at};
use crate::identity::Identity;
use crate::ids::PciId;
use crate::numbers::{IommuGroupId, NumaNode, VfIndex};
use crate::snapshot::{Function, Neighbour, NeighbourDriver, Role, ScanFailure, Sriov};

/// Drivers whose names say whether VFIO can have the group; all others are looked at.
const TELLING: [&str; 3] = ["pci-stub", "pcieport", "vfio-pci"];

/// One entry of `bus/pci/devices`, on its way into the snapshot.
pub(crate) struct Visit<'a> {
    pub(crate) address: PciAddress,
    entry: Entry,
    /// `bus/pci/devices`.
    base: Base<'a>,
}

/// What does not change while a function lives.
#[derive(Debug)]
pub(crate) struct Known {
    /// Of the entry in `bus/pci/devices`; another number means another function.
    inode: u64,
    identity: Identity,
    numa_node: Fact<NumaNode>,
    /// Only for functions that are looked at as neighbours.
    iommu_group: Fact<IommuGroupId>,
}

/// Something that need not exist, and is read once.
#[derive(Debug, Clone, Copy)]
enum Fact<T> {
    Unread,
    /// Read once, and it did not exist (yet).
    Absent,
    Is(Option<T>),
}

// === impl Known ===

impl Known {
    /// Whether this is about the function that the entry stands for now.
    pub(crate) fn is_of(&self, visit: &Visit<'_>) -> bool {
        self.inode == visit.entry.inode
    }

    pub(crate) fn id(&self) -> PciId {
        self.identity.id
    }
}

// === impl Visit ===

impl<'a> Visit<'a> {
    pub(crate) fn new(address: PciAddress, entry: Entry, base: Base<'a>) -> Self {
        Self {
            address,
            entry,
            base,
        }
    }

    /// The entry's own, from the base.
    fn path(&self) -> &Path {
        Path::new(&self.entry.name)
    }

    pub(crate) fn failure(&self, error: AttrError) -> ScanFailure {
        ScanFailure {
            name: self.entry.name.clone(),
            address: Some(self.address),
            error,
        }
    }

    pub(crate) fn identify(&self) -> Result<Known, AttrError> {
        Ok(Known {
            inode: self.entry.inode,
            identity: identity_at(self.base, self.path())?,
            numa_node: Fact::Unread,
            iommu_group: Fact::Unread,
        })
    }

    fn driver(&self) -> Result<Option<DriverName>, AttrError> {
        driver_at(self.base, self.path())
    }

    /// What drives a neighbour. The name of most drivers says whether they let VFIO have the
    /// group; a variant driver of VFIO is known by the directory `vfio-dev` of its devices.
    pub(crate) fn neighbour_driver(&self) -> Result<NeighbourDriver, AttrError> {
        Ok(match self.driver()? {
            None => NeighbourDriver::None,
            Some(name) => NeighbourDriver::Bound {
                vfio: !TELLING.contains(&name.as_str())
                    && stat_at(self.base, &self.path().join("vfio-dev"))
                        .is_ok_and(|stat| stat.is_dir),
                name,
            },
        })
    }

    /// A function that could not be read as one, but is in a group that others may share.
    pub(crate) fn stranger(&self, known: &Known) -> Result<Neighbour, AttrError> {
        Ok(self.as_neighbour(known, iommu_group_at(self.base, self.path())?))
    }

    pub(crate) fn neighbour(&self, known: &mut Known) -> Result<Neighbour, AttrError> {
        if let Fact::Unread | Fact::Absent = known.iommu_group {
            let group = iommu_group_at(self.base, self.path())?;
            // The kernel lists a new function shortly before it gives it a group, so the first
            // "none" is not the last word.
            known.iommu_group = match (group, known.iommu_group) {
                (None, Fact::Unread) => Fact::Absent,
                _ => Fact::Is(group),
            };
        }
        let iommu_group = match known.iommu_group {
            Fact::Is(group) => group,
            Fact::Unread | Fact::Absent => None,
        };
        Ok(self.as_neighbour(known, iommu_group))
    }

    fn as_neighbour(&self, known: &Known, iommu_group: Option<IommuGroupId>) -> Neighbour {
        Neighbour {
            address: self.address,
            id: known.identity.id,
            class: known.identity.class,
            driver: NeighbourDriver::NotRead,
            iommu_group,
        }
    }

    pub(crate) fn function(
        &self,
        known: &mut Known,
        failures: &mut Vec<ScanFailure>,
    ) -> Result<Function, AttrError> {
        let driver = self.driver()?;
        let iommu_group = iommu_group_at(self.base, self.path())?;
        let role = match physfn_at(self.base, self.path())? {
            Some(pf) => Role::Virtual { pf, index: None },
            None => self.standalone(known, failures)?,
        };
        Ok(self.assemble(known, driver, iommu_group, role))
    }

    /// A function without `physfn`.
    ///
    /// A link that is missing says either "no" or "the function is gone by now". So the last
    /// call must be one that a living function answers: `physfn` of a virtual function, the read
    /// of the NUMA node, or else a look at the entry itself.
    fn standalone(
        &self,
        known: &mut Known,
        failures: &mut Vec<ScanFailure>,
    ) -> Result<Role, AttrError> {
        let read_before = matches!(known.numa_node, Fact::Is(_));
        let numa_node = self.numa_node(known, failures);
        if read_before || numa_node.is_none() {
            require(self.base, self.path())?;
        }
        Ok(Role::Standalone { numa_node })
    }

    pub(crate) fn physical(
        &self,
        known: &mut Known,
        failures: &mut Vec<ScanFailure>,
    ) -> Result<Function, AttrError> {
        let driver = self.driver()?;
        let iommu_group = iommu_group_at(self.base, self.path())?;
        let mut sriov = Sriov {
            numa_node: self.numa_node(known, failures),
            ..Sriov::default()
        };
        let mut alive = false;
        for Entry { name, .. } in list_at(self.base, self.path())? {
            alive |= name == "modalias";
            sriov.capable |= name == "sriov_totalvfs";
            let Some(index) = VfIndex::from_link_name(&name) else {
                continue;
            };
            match link_value(
                self.base,
                &self.path().join(&name),
                "a link to a PCI function",
            ) {
                Ok(Some(vf)) => {
                    sriov.vfs.insert(index, vf);
                }
                Ok(None) => {}
                Err(error) => failures.push(self.failure(error)),
            }
        }
        // The kernel takes the attributes of a dying function away before its directory.
        if !alive {
            let path = self.base.full(self.path());
            return Err(AttrError::Missing { path });
        }
        Ok(self.assemble(known, driver, iommu_group, Role::Physical(sriov)))
    }

    /// The NUMA node. Garbage is a failure, and not kept, but costs only this detail.
    fn numa_node(&self, known: &mut Known, failures: &mut Vec<ScanFailure>) -> Option<NumaNode> {
        if let Fact::Is(numa_node) = known.numa_node {
            return numa_node;
        }
        match numa_node_at(self.base, self.path()) {
            Ok(numa_node) => {
                known.numa_node = Fact::Is(numa_node);
                numa_node
            }
            Err(error) => {
                failures.push(self.failure(error));
                None
            }
        }
    }

    fn assemble(
        &self,
        known: &Known,
        driver: Option<DriverName>,
        iommu_group: Option<IommuGroupId>,
        role: Role,
    ) -> Function {
        Function {
            address: self.address,
            id: known.identity.id,
            subsystem: known.identity.subsystem,
            class: known.identity.class,
            driver,
            iommu_group,
            role,
        }
    }
}
