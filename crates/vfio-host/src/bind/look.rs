//! What must be known of a function and of the host before a function is bound.

use sysfs_pci::{AttrError, DriverName, IommuGroupId, PciAddress, PciId, fs};

use crate::live::address_of;
use crate::node::group_node;
use crate::{Group, Host, HostError, NodeError, denylist_disabled, iommu_present, read_group};

/// A function as it is now, as far as binding it goes. Nothing of it was read by a call that can block.
#[derive(Clone, Debug)]
pub struct Look {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor and device.
    pub id: PciId,
    /// The driver that it has.
    pub driver: Option<DriverName>,
    /// Its physical function and that one's driver; `None` for a function without one.
    pub pf: Option<(PciAddress, Option<DriverName>)>,
    /// Its IOMMU group with all members; `None` without an IOMMU.
    pub group: Option<Group>,
    /// How often it is enabled: on a VFIO driver 1 or more while somebody has it open.
    pub enabled: u32,
    /// Whether its group has a device node.
    pub has_node: bool,
}

/// The host as it is now, as far as binding goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostFacts {
    /// Whether the driver that is to be bound exists: its module is loaded or built in.
    pub driver_present: bool,
    /// Whether `vfio-pci` takes devices of its denylist; `None` if it does not say.
    pub denylist_disabled: Option<bool>,
    /// Whether the kernel uses an IOMMU.
    pub iommu_present: bool,
    /// Whether VFIO gives out functions that no IOMMU confines (`enable_unsafe_noiommu_mode`).
    pub no_iommu_mode: bool,
}

impl Host {
    /// Looks at a function, for [`BindPlan::new`](super::BindPlan::new).
    ///
    /// # Errors
    ///
    /// [`HostError`]; [`HostError::is_gone`] if there is no such function, or it is changing its group.
    pub fn look(&self, address: PciAddress) -> Result<Look, HostError> {
        let of = |source: AttrError| HostError::Function { address, source };
        let sysfs = &self.sysfs;
        let id = sysfs_pci::identity(sysfs, address).map_err(of)?.id;
        let driver = sysfs_pci::driver(sysfs, address).map_err(of)?;
        let pf = match sysfs_pci::physfn(sysfs, address).map_err(of)? {
            Some(pf) => Some((pf, sysfs_pci::driver(sysfs, pf).map_err(of)?)),
            None => None,
        };
        let group = match sysfs_pci::iommu_group(sysfs, address).map_err(of)? {
            Some(group) => Some(self.group_of(address, group)?),
            None => None,
        };
        let enabled = sysfs_pci::enable_count(sysfs, address).map_err(of)?;
        let node = group.as_ref().map(|group| group_node(&self.dev, group.id));
        Ok(Look {
            address,
            id,
            driver,
            pf,
            group,
            enabled,
            has_node: !matches!(node, None | Some(Err(NodeError::Missing { .. }))),
        })
    }

    /// The group, if the function is in it still.
    fn group_of(&self, address: PciAddress, group: IommuGroupId) -> Result<Group, HostError> {
        let group = read_group(&self.sysfs, group)?;
        if group
            .members
            .iter()
            .any(|member| address_of(&member.name) == Some(address))
        {
            Ok(group)
        } else {
            Err(HostError::NoGroup { group: group.id })
        }
    }

    /// Looks at the host, for a driver that functions are to be bound to.
    pub fn facts(&self, driver: &DriverName) -> HostFacts {
        let driver = self.sysfs.join(format!("bus/pci/drivers/{driver}"));
        let mode = self
            .sysfs
            .join("module/vfio/parameters/enable_unsafe_noiommu_mode");
        HostFacts {
            driver_present: fs::stat(&driver).is_ok(),
            denylist_disabled: denylist_disabled(&self.sysfs),
            iommu_present: iommu_present(&self.sysfs),
            no_iommu_mode: fs::read_text(&mode).is_ok_and(|mode| mode == "Y"),
        }
    }
}
