//! From what was advertised and what is there to what is advertised next.

use std::collections::{BTreeMap, BTreeSet};

use device_plugin::{Device, DeviceId, DeviceSet, DeviceSetError, Health};
use qat_policy::{PoolName, Standing};
use serde::Serialize;
use sysfs_pci::{NumaNode, PciAddress};

use crate::Look;
use crate::text::chain;

/// What is said of an advertised VF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "health", rename_all = "lowercase")]
pub enum Verdict {
    /// The VF can be given to a pod.
    Healthy,
    /// It cannot; a pod that holds it may be in trouble.
    Unhealthy {
        /// What is wrong, for people.
        reason: String,
    },
}

/// A VF that the kubelet was told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advertised {
    /// The verdict.
    pub verdict: Verdict,
    /// The PF it belongs to; none in a guest.
    pub pf: Option<PciAddress>,
    /// The NUMA node of the VF, where the machine says it.
    pub numa_node: Option<NumaNode>,
}

/// What is advertised: the VFs of each pool.
///
/// A VF that was in a pool once stays in it, at worst Unhealthy, for as long as the daemon runs:
/// the kubelet takes a device that is missing from a list for gone, and forgets whose it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeState {
    /// Pools in order of their name.
    pub pools: BTreeMap<PoolName, BTreeMap<PciAddress, Advertised>>,
}

impl NodeState {
    /// Every VF that is advertised in any pool.
    pub fn advertised(&self) -> BTreeSet<PciAddress> {
        self.pools
            .values()
            .flat_map(BTreeMap::keys)
            .copied()
            .collect()
    }

    /// The devices of one pool as the kubelet gets them.
    ///
    /// # Errors
    ///
    /// [`DeviceSetError`] never happens for PCI addresses, which are valid and distinct device IDs;
    /// it is passed on rather than hidden.
    pub fn device_set(&self, pool: &PoolName) -> Result<DeviceSet, DeviceSetError> {
        let devices = self.pools.get(pool).into_iter().flatten();
        DeviceSet::new(devices.filter_map(|(address, vf)| {
            Some(Device {
                id: address.to_string().parse::<DeviceId>().ok()?,
                health: match vf.verdict {
                    Verdict::Healthy => Health::Healthy,
                    Verdict::Unhealthy { .. } => Health::Unhealthy,
                },
                numa_nodes: vf.numa_node.map(NumaNode::get).into_iter().collect(),
            })
        }))
    }
}

/// Judges a look in the light of what was advertised before. Pure: the same input gives the same
/// state.
///
/// * A VF that the inventory offers is Healthy in its pool.
/// * A VF that was advertised and is now withheld, gone or in another pool is Unhealthy where it
///   was, with the reason.
#[must_use]
pub fn judge(before: &NodeState, look: &Look) -> NodeState {
    let mut after = before.clone();
    for (pool, vfs) in &mut after.pools {
        for (address, vf) in vfs {
            vf.verdict = verdict(*address, pool, look);
        }
    }
    for (vf, pool) in look.inventory.offered() {
        let advertised = Advertised {
            verdict: Verdict::Healthy,
            pf: vf.pf,
            numa_node: vf.numa_node,
        };
        after
            .pools
            .entry(pool.clone())
            .or_default()
            .insert(vf.address, advertised);
    }
    after
}

/// The verdict on a VF that was advertised in `pool`.
fn verdict(address: PciAddress, pool: &PoolName, look: &Look) -> Verdict {
    let reason = match look.inventory.vfs.get(&address).map(|vf| &vf.standing) {
        Some(Standing::Offered { pool: now }) if now == pool => return Verdict::Healthy,
        Some(Standing::Offered { pool: now }) => format!("it is in pool `{now}` now"),
        Some(Standing::Withheld(reason)) => reason.to_string(),
        None => absence(address, look),
    };
    Verdict::Unhealthy { reason }
}

/// Why a VF is not in the inventory: something about it is unreadable, or it is gone.
fn absence(address: PciAddress, look: &Look) -> String {
    let failure = look
        .failures
        .iter()
        .find(|failure| failure.address == Some(address));
    failure.map_or_else(|| "it is gone".to_owned(), |failure| chain(failure))
}
