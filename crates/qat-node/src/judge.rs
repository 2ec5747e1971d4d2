//! From what was advertised and what is there to what is advertised next.

use std::collections::{BTreeMap, BTreeSet};

use device_plugin::{Device, DeviceId, DeviceSet, Health};
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
/// A VF that was in a pool once stays in it, at worst Unhealthy, for as long as the daemon runs, and
/// is never in a second one. The kubelet takes a device that is missing from a list for gone and
/// forgets whose it was; and it counts for each resource by itself, so a VF in two pools would be
/// given to two pods.
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

    /// The devices of one pool as the kubelet gets them: a PCI address is a valid device ID, and
    /// addresses differ.
    pub fn device_set(&self, pool: &PoolName) -> DeviceSet {
        let devices = self.pools.get(pool).into_iter().flatten();
        let set = DeviceSet::new(devices.filter_map(|(address, vf)| {
            Some(Device {
                id: address.to_string().parse::<DeviceId>().ok()?,
                health: match vf.verdict {
                    Verdict::Healthy => Health::Healthy,
                    Verdict::Unhealthy { .. } => Health::Unhealthy,
                },
                numa_nodes: vf.numa_node.map(NumaNode::get).into_iter().collect(),
            })
        }));
        set.unwrap_or_default()
    }
}

/// Judges a look in the light of what was advertised before. Pure: the same input gives the same
/// state.
///
/// * A VF that is offered for the first time is Healthy in its pool, and stays in that pool.
/// * A VF that was advertised and is now withheld, gone or offered in another pool is Unhealthy
///   where it is, with the reason.
#[must_use]
pub fn judge(before: &NodeState, look: &Look) -> NodeState {
    let mut after = before.clone();
    for (pool, vfs) in &mut after.pools {
        for (address, vf) in vfs {
            vf.verdict = verdict(*address, pool, look);
            if let Some(seen) = look.inventory.vfs.get(address) {
                // What could not be read this time was right the last time.
                vf.pf = seen.pf.or(vf.pf);
                vf.numa_node = seen.numa_node.or(vf.numa_node);
            }
        }
    }
    let known = before.advertised();
    for (vf, pool) in look.inventory.offered() {
        if !known.contains(&vf.address) {
            let newcomer = Advertised {
                verdict: Verdict::Healthy,
                pf: vf.pf,
                numa_node: vf.numa_node,
            };
            let vfs = after.pools.entry(pool.clone()).or_default();
            vfs.insert(vf.address, newcomer);
        }
    }
    after
}

/// The verdict on a VF that was advertised in `pool`.
fn verdict(address: PciAddress, pool: &PoolName, look: &Look) -> Verdict {
    let reason = match look.inventory.vfs.get(&address).map(|vf| &vf.standing) {
        Some(Standing::Offered { pool: now }) if now == pool => return Verdict::Healthy,
        Some(Standing::Offered { pool: now }) => format!(
            "its services were changed and it would be in pool `{now}`; restart the plugin when no \
             pod holds it"
        ),
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
