//! What a node has and what it may offer: a pure function of what was seen.

mod judge;
mod pf;
mod reason;
mod vf;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use serde::Serialize;
use sysfs_pci::{IommuGroupId, PciAddress, Snapshot};
use vfio_host::{Group, NodeError, UioNode, VfioNode};

pub use self::judge::check_pf;
pub use self::pf::{Pf, PfTrouble};
pub use self::reason::Reason;
pub use self::vf::{Standing, Vf};
use crate::family::{Family, FunctionKind, identify};
use crate::health::Sickness;
use crate::names::{PoolName, PoolNames};
use crate::reading::PfReading;
use crate::vf_drivers::VfDrivers;

/// What the operator decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// The families to offer; see [`parse_kernel_vf_drivers`](crate::parse_kernel_vf_drivers).
    pub families: BTreeSet<Family>,
    /// How pools are named.
    pub names: PoolNames,
    /// The drivers a VF must be bound to one of.
    pub drivers: VfDrivers,
    /// At most this many VFs are offered on the node, lowest addresses first. `None`: all.
    pub cap: Option<NonZeroUsize>,
}

/// What was seen of a node, gathered by others.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The PCI functions, from a scan with [`depth`](crate::depth).
    pub snapshot: &'a Snapshot,
    /// The IOMMU groups of the snapshot.
    pub groups: &'a BTreeMap<IommuGroupId, Group>,
    /// The node of each group whose VFs could be offered. A group without an entry was not looked
    /// at; its VFs are withheld.
    pub nodes: &'a BTreeMap<IommuGroupId, Result<VfioNode, NodeError>>,
    /// The node `/dev/vfio/vfio`.
    pub control: &'a Result<VfioNode, NodeError>,
    /// PFs with which something is wrong that their driver tells, by [`health`](crate::health).
    pub sick: &'a BTreeMap<PciAddress, Sickness>,
    /// The UIO device of each VF that could be offered with one: see [`VfDrivers::Uio`]. A VF without
    /// an entry was not looked at, and is withheld then.
    pub uio: &'a BTreeMap<PciAddress, Result<UioNode, NodeError>>,
    /// What [`read_pf`](crate::read_pf) said of each PF.
    pub readings: &'a BTreeMap<PciAddress, PfReading>,
    /// Whether `vfio-pci` binds functions on its denylist; `None` if it is not loaded.
    pub denylist_disabled: Option<bool>,
    /// Whether the kernel uses an IOMMU.
    pub iommu_present: bool,
    /// The VFs that the kubelet knows already. Where only some can be offered, these come first:
    /// a pod may hold one of them.
    pub advertised: &'a BTreeSet<PciAddress>,
}

/// All QAT functions of a node. Functions that [`identify`] does not know are not in it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Inventory {
    /// The PFs.
    pub pfs: BTreeMap<PciAddress, Pf>,
    /// The VFs, each offered or withheld with a reason.
    pub vfs: BTreeMap<PciAddress, Vf>,
}

impl Default for Rules {
    /// Every family, canonical names, `vfio-pci` and its QAT variant, no cap.
    fn default() -> Self {
        Self {
            families: Family::all().iter().copied().collect(),
            names: PoolNames::default(),
            drivers: VfDrivers::default(),
            cap: None,
        }
    }
}

impl Inventory {
    /// Judges every QAT function that was seen.
    ///
    /// Each VF is judged by itself and by its PF, so a broken one harms no other. Only two rules
    /// look at several VFs: of those that share an IOMMU group one is offered, and what remains is cut
    /// at the cap. In both a VF that the kubelet knows already keeps its place, whatever becomes of it,
    /// and lower addresses come before higher ones.
    ///
    /// Where several things are wrong with a VF, the reason names the one to mend first: the choice
    /// of families, then the PF, the machine's IOMMU, the driver, the group, the device nodes, the
    /// services.
    pub fn build(facts: &Facts<'_>, rules: &Rules) -> Self {
        let mut inventory = Self::default();
        let mut vfs = Vec::new();
        for function in facts.snapshot.functions.values() {
            match identify(function.id) {
                Some((family, FunctionKind::Pf)) => {
                    let pf = Pf::look(function, family, facts, rules);
                    inventory.pfs.insert(function.address, pf);
                }
                Some((family, FunctionKind::Vf)) => vfs.push((function, family)),
                None => {}
            }
        }
        for (function, family) in vfs {
            let vf = judge::look(function, family, &inventory.pfs, facts, rules);
            inventory.vfs.insert(function.address, vf);
        }
        if let VfDrivers::Vfio(_) = rules.drivers {
            inventory.share_groups(facts.advertised);
        }
        inventory.cut(rules.cap, facts.advertised);
        inventory
    }

    /// Iterates over the VFs that are offered, with their pools, in the order of addresses.
    pub fn offered(&self) -> impl Iterator<Item = (&Vf, &PoolName)> {
        self.vfs.values().filter_map(|vf| match &vf.standing {
            Standing::Offered { pool } => Some((vf, pool)),
            Standing::Withheld(_) => None,
        })
    }

    /// Iterates over the VFs that are not offered, with the reasons, in the order of addresses.
    pub fn withheld(&self) -> impl Iterator<Item = (&Vf, &Reason)> {
        self.vfs.values().filter_map(|vf| match &vf.standing {
            Standing::Offered { .. } => None,
            Standing::Withheld(reason) => Some((vf, reason)),
        })
    }

    /// Returns the default pools: the offered VFs by the name of their services.
    pub fn pools(&self) -> BTreeMap<&PoolName, Vec<&Vf>> {
        let mut pools: BTreeMap<&PoolName, Vec<&Vf>> = BTreeMap::new();
        for (vf, pool) in self.offered() {
            pools.entry(pool).or_default().push(vf);
        }
        pools
    }

    /// Leaves one VF of each group: the one that the kubelet knows already, else the one with the
    /// lowest address. A known one keeps the group while it is in it, even if it is withheld now: a
    /// pod may hold it.
    fn share_groups(&mut self, advertised: &BTreeSet<PciAddress>) {
        let mut owners: BTreeMap<IommuGroupId, PciAddress> = BTreeMap::new();
        for vf in advertised.iter().filter_map(|vf| self.vfs.get(vf)) {
            if let Some(group) = vf.iommu_group {
                owners.entry(group).or_insert(vf.address);
            }
        }
        for vf in self.vfs.values_mut().filter(|vf| vf.standing.is_offered()) {
            if let Some(group) = vf.iommu_group {
                let with = *owners.entry(group).or_insert(vf.address);
                if with != vf.address {
                    vf.standing = Standing::Withheld(Reason::GroupShared { group, with });
                }
            }
        }
    }

    /// Lets newcomers in while there is room. Those that the kubelet knows take their place whether
    /// they are offered now or not, so that none of them has to leave when another comes back.
    fn cut(&mut self, cap: Option<NonZeroUsize>, advertised: &BTreeSet<PciAddress>) {
        let Some(cap) = cap else {
            return;
        };
        let room = cap.get().saturating_sub(advertised.len());
        let newcomers = self
            .vfs
            .values_mut()
            .filter(|vf| vf.standing.is_offered() && !advertised.contains(&vf.address));
        for vf in newcomers.skip(room) {
            vf.standing = Standing::Withheld(Reason::BeyondCap { cap });
        }
    }
}
