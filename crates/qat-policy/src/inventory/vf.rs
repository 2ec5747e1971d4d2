//! A VF and its standing.

use serde::Serialize;
use sysfs_pci::{DriverName, IommuGroupId, NumaNode, PciAddress, PciId, VfIndex};

use super::reason::Reason;
use crate::family::Family;
use crate::names::PoolName;
use crate::services::Services;

/// A virtual function.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Vf {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor and device.
    pub id: PciId,
    /// Its family.
    pub family: Family,
    /// Its PF; `None` in a guest, where no PF is visible.
    pub pf: Option<PciAddress>,
    /// Its number on the PF, if known.
    pub index: Option<VfIndex>,
    /// The driver it is bound to.
    pub driver: Option<DriverName>,
    /// Its IOMMU group.
    pub iommu_group: Option<IommuGroupId>,
    /// Its NUMA node, which is that of the PF where there is one.
    pub numa_node: Option<NumaNode>,
    /// Its services, which are those of the PF; `None` if they are not known or cannot be chosen.
    pub services: Option<Services>,
    /// Whether it is offered.
    pub standing: Standing,
}

/// Whether a VF is offered, and as what or why not.
///
/// In JSON: `{"state":"offered","pool":"cy"}` or
/// `{"state":"withheld","code":"not-bound","text":"…"}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Standing {
    /// It can be given to a pod that asks for this pool.
    Offered {
        /// The pool.
        pool: PoolName,
    },
    /// It is kept back.
    Withheld(Reason),
}

impl Standing {
    /// Tells whether the VF is offered.
    pub const fn is_offered(&self) -> bool {
        matches!(self, Self::Offered { .. })
    }
}
