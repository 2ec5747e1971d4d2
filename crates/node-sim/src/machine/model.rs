//! What a machine in memory consists of.

use std::collections::{BTreeMap, BTreeSet};

use sysfs_pci::{PciAddress, PciId};

use super::{Attribute, FunctionSpec};

/// How DMA of functions is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Iommu {
    Translated,
    Passthrough,
    None,
    NoIommuMode,
}

/// The SR-IOV half of a PF.
#[derive(Clone, Debug)]
pub(super) struct Sriov {
    pub(super) vf_id: PciId,
    pub(super) total: u16,
    pub(super) offset: u16,
    pub(super) stride: u16,
    /// What `sriov_numvfs` reads.
    pub(super) enabled: u16,
    /// Whether the kernel shows `sriov_*` files.
    pub(super) capable: bool,
    /// Whether new VFs are given to drivers.
    pub(super) autoprobe: bool,
    /// The VFs that exist now, by number.
    pub(super) vfs: BTreeMap<u16, PciAddress>,
}

#[derive(Clone, Debug)]
pub(super) enum Role {
    Plain,
    Given,
    Pf(Sriov),
    Vf { pf: PciAddress, index: u16 },
}

/// A function of a machine, with the state it is in.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) spec: FunctionSpec,
    pub(super) role: Role,
    /// The driver whose files `spec.driver_attributes` and `spec.debugfs` are.
    pub(super) home: Option<String>,
    pub(super) group: Option<u32>,
    /// The function whose group it shares.
    pub(super) companion: Option<PciAddress>,
    /// X of `vfioX` while it is on a VFIO driver and written.
    pub(super) cdev: Option<u32>,
    /// What `driver_override` reads; `None` is `(null)`.
    pub(super) driver_override: Option<String>,
    /// The enable count, where it is not what the driver would make it.
    pub(super) enable: Option<u32>,
    /// Contents that replace those of the files of the same name.
    pub(super) literal: BTreeMap<String, Vec<u8>>,
    /// Files that are not there.
    pub(super) missing: BTreeSet<String>,
    /// False: the group's node is missing.
    pub(super) node: bool,
    /// True: its driver links are gone, and its driver waits until nobody has it open.
    pub(super) leaving: bool,
    /// What a stopped device does not show.
    pub(super) stopped: Stopped,
}

/// Files of a QAT device that are not there while it is down.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopped {
    pub(super) attributes: BTreeMap<String, Attribute>,
    pub(super) debugfs: BTreeMap<String, Attribute>,
}

impl Function {
    pub(super) fn is_home(&self) -> bool {
        self.spec.driver.is_some() && self.spec.driver == self.home
    }

    pub(super) fn sriov(&self) -> Option<&Sriov> {
        match &self.role {
            Role::Pf(sriov) => Some(sriov),
            _ => None,
        }
    }

    pub(super) fn sriov_mut(&mut self) -> Option<&mut Sriov> {
        match &mut self.role {
            Role::Pf(sriov) => Some(sriov),
            _ => None,
        }
    }
}

/// Gives a function a driver as an administrator does: a VFIO driver by way of
/// `driver_override`, any other by its id table.
pub(super) fn set_driver(
    function: &mut Function,
    driver: Option<&str>,
    vfio_drivers: &BTreeSet<String>,
) {
    function.spec.driver = driver.map(str::to_owned);
    if let Some(driver) = driver {
        function.driver_override = vfio_drivers.contains(driver).then(|| driver.to_owned());
    }
}
