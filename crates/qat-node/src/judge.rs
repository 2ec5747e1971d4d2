//! From what was advertised and what is there to what is advertised next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use device_plugin::{Device, DeviceId, DeviceSet, Health};
use qat_policy::{PoolName, Standing};
use serde::Serialize;
use sysfs_pci::{NumaNode, PciAddress};
use tokio::time::Instant;

use crate::text::chain;
use crate::{Ledger, Look, Objection};

/// How long a VF is Unhealthy before it may leave its pool. An Allocate that began when it was still
/// Healthy is over by then: the framework cuts it after ten seconds.
const FAREWELL: Duration = Duration::from_secs(12);

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
    /// Since when it belongs elsewhere or is gone; none while it belongs here.
    #[serde(skip)]
    pub leaving: Option<Instant>,
    /// Why it is not handed out although nothing is wrong with it.
    #[serde(skip)]
    pub objection: Option<Objection>,
}

/// What is advertised: the VFs of each pool.
///
/// A VF is in one pool at a time. It leaves it, for another or for good, only when nobody holds it. The
/// kubelet takes a device that is missing from a list for gone and forgets whose it was; and it
/// counts for each resource by itself, so a VF in two pools would be given to two pods.
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

    /// The VFs that want to leave their pool.
    pub fn leaving(&self) -> BTreeSet<PciAddress> {
        let vfs = self.pools.values().flatten();
        vfs.filter(|(_, vf)| vf.leaving.is_some())
            .map(|(address, _)| *address)
            .collect()
    }

    /// When the next VF may leave its pool, after `now`.
    pub fn farewell(&self, now: Instant) -> Option<Instant> {
        let vfs = self.pools.values().flat_map(BTreeMap::values);
        let times = vfs.filter_map(|vf| Some(vf.leaving? + FAREWELL));
        times.filter(|at| *at > now).min()
    }

    /// Whether some verdict depends on what pods hold and may change with it.
    pub fn waits_for_pods(&self) -> bool {
        let mut vfs = self.pools.values().flat_map(BTreeMap::values);
        vfs.any(|vf| vf.leaving.is_some() || vf.objection.is_some())
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

/// Judges a look in the light of what was advertised before and of what pods may hold. Pure: the same
/// input gives the same state.
///
/// * A VF that is offered for the first time is Healthy in its pool, unless a pod holds it as something
///   else. Then it is Unhealthy there until that pod is gone.
/// * A VF that was advertised and is now withheld is Unhealthy where it is, with the reason.
/// * One that is gone or offered in another pool is Unhealthy where it is until nobody holds it. Then
///   it leaves, and may come back or be in the other pool.
/// * A pool without VFs is no more.
#[must_use]
pub fn judge(before: &NodeState, look: &Look, ledger: &Ledger, now: Instant) -> NodeState {
    let mut after = NodeState::default();
    for (pool, vfs) in &before.pools {
        for (address, vf) in vfs {
            if let Some(vf) = judge_one(*address, vf, pool, look, ledger, now) {
                let vfs = after.pools.entry(pool.clone()).or_default();
                vfs.insert(*address, vf);
            }
        }
    }
    // One that leaves a pool now enters another at the next look, when the kubelet has heard of it.
    let known = before.advertised();
    for (vf, pool) in look.inventory.offered() {
        if !known.contains(&vf.address) {
            let mut newcomer = Advertised {
                verdict: Verdict::Healthy,
                pf: vf.pf,
                numa_node: vf.numa_node,
                leaving: None,
                objection: None,
            };
            admit(&mut newcomer, ledger.objection(vf.address, pool));
            let vfs = after.pools.entry(pool.clone()).or_default();
            vfs.insert(vf.address, newcomer);
        }
    }
    after
}

/// What becomes of a VF that was advertised in `pool`: none if it leaves.
fn judge_one(
    address: PciAddress,
    before: &Advertised,
    pool: &PoolName,
    look: &Look,
    ledger: &Ledger,
    now: Instant,
) -> Option<Advertised> {
    let mut vf = before.clone();
    let seen = look.inventory.vfs.get(&address);
    if let Some(seen) = seen {
        // What could not be read this time was right the last time.
        vf.pf = seen.pf.or(vf.pf);
        vf.numa_node = seen.numa_node.or(vf.numa_node);
    }
    let (reason, leaves) = match seen.map(|seen| &seen.standing) {
        Some(Standing::Offered { pool: now }) if now == pool => {
            vf.leaving = None;
            // That nothing is known any more is no reason to doubt what was known.
            let known = before.objection.is_none();
            let objection = ledger.objection(address, pool);
            admit(
                &mut vf,
                objection.filter(|why| !(known && *why == Objection::Unknown)),
            );
            return Some(vf);
        }
        Some(Standing::Offered { pool: now }) => {
            let reason =
                format!("its services were changed; it moves to pool `{now}` when no pod holds it");
            (reason, true)
        }
        Some(Standing::Withheld(reason)) => (reason.to_string(), false),
        None => absence(address, look),
    };
    vf.verdict = Verdict::Unhealthy { reason };
    vf.leaving = leaves.then(|| vf.leaving.unwrap_or(now));
    match vf.leaving {
        Some(since) if ledger.is_free(address, since + FAREWELL) => None,
        _ => Some(vf),
    }
}

/// Healthy, unless there is an objection.
fn admit(vf: &mut Advertised, objection: Option<Objection>) {
    vf.verdict = objection
        .as_ref()
        .map_or(Verdict::Healthy, |why| Verdict::Unhealthy {
            reason: why.to_string(),
        });
    vf.objection = objection;
}

/// The VFs of which one has to know whether they are open: those that want to leave, and where nobody
/// says what pods hold those that are new.
pub(crate) fn doubtful(before: &NodeState, look: &Look, ledger: &Ledger) -> BTreeSet<PciAddress> {
    let mut doubtful = before.leaving();
    if ledger.nobody_knows() {
        let known = before.pools.values().flatten();
        let known: BTreeSet<_> = known
            .filter(|(_, vf)| vf.objection.is_none())
            .map(|(address, _)| *address)
            .collect();
        let offered = look.inventory.offered().map(|(vf, _)| vf.address);
        doubtful.extend(offered.filter(|address| !known.contains(address)));
    }
    doubtful
}

/// Why a VF is not in the inventory, and whether it is gone rather than unreadable.
fn absence(address: PciAddress, look: &Look) -> (String, bool) {
    let failure = look
        .failures
        .iter()
        .find(|failure| failure.address == Some(address));
    failure.map_or_else(
        || ("it is gone".to_owned(), true),
        |failure| (chain(failure), false),
    )
}
