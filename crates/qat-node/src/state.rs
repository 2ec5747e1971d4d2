//! What is advertised.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use device_plugin::{Device, DeviceId, DeviceSet, Health};
use qat_policy::PoolName;
use serde::{Deserialize, Serialize};
use sysfs_pci::{NumaNode, PciAddress, VfIndex};
use tokio::time::Instant;

use crate::Objection;
use crate::calm::Falls;
use crate::judge::FAREWELL;

/// What is said of an advertised VF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "health", rename_all = "lowercase")]
pub enum Verdict {
    /// The VF can be given to a pod.
    Healthy,
    /// It cannot; a pod that holds it may be in trouble.
    Unhealthy {
        /// A stable short code: one of [`qat_policy::Reason::code`], of [`Objection::code`], or `gone`, `unreadable`,
        /// `moves` and `flapping`.
        code: Cow<'static, str>,
        /// What is wrong, for people.
        reason: String,
    },
}

/// The code of a VF that belongs to another pool.
pub(crate) const MOVES: &str = "moves";

impl Verdict {
    /// The short code of what is wrong.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Healthy => None,
            Self::Unhealthy { code, .. } => Some(code),
        }
    }

    pub(crate) fn unhealthy(code: &'static str, reason: String) -> Self {
        Self::Unhealthy {
            code: Cow::Borrowed(code),
            reason,
        }
    }

    /// Whether another says the same in other words, so that it holds as long as this one.
    pub(crate) fn continues(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Healthy, Self::Healthy) => true,
            (Self::Unhealthy { code, .. }, Self::Unhealthy { code: before, .. }) => code == before,
            _ => false,
        }
    }
}

/// A VF that the kubelet was told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advertised {
    /// The verdict.
    pub verdict: Verdict,
    /// Since when it is this one, whatever the words.
    #[serde(skip)]
    pub since: Instant,
    /// The PF it belongs to; none in a guest.
    pub pf: Option<PciAddress>,
    /// Its number on the PF.
    #[serde(skip)]
    pub index: Option<VfIndex>,
    /// The NUMA node of the VF, where the machine says it.
    pub numa_node: Option<NumaNode>,
    /// Since when it belongs elsewhere or is gone; none while it belongs here.
    #[serde(skip)]
    pub leaving: Option<Instant>,
    /// Whether another pool has it already, so that it is only shown as Unhealthy here for a while: a kubelet up to 1.36
    /// crashes when a device goes missing that it is about to allocate.
    #[serde(skip)]
    pub moved: bool,
    /// Why it is not handed out although nothing is wrong with it.
    #[serde(skip)]
    pub objection: Option<Objection>,
    /// Until when it is kept back because it came and went.
    #[serde(skip)]
    pub kept_back: Option<Instant>,
}

/// What is advertised: the VFs of each pool.
///
/// A VF is in one pool at a time, but for a [moved](Advertised::moved) one that its old pool still shows as Unhealthy. It
/// leaves it, for another or for good, only when no pod has it. The
/// kubelet takes a device that is missing from a list for gone and forgets whose it was; and it
/// counts for each resource by itself, so a VF in two pools would be given to two pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeState {
    /// Pools in order of their name.
    pub pools: BTreeMap<PoolName, BTreeMap<PciAddress, Advertised>>,
    /// Which VFs come and go.
    #[serde(skip)]
    pub(crate) falls: Falls,
}

impl NodeState {
    /// A state with these pools, in which nothing has fallen yet.
    #[must_use]
    pub fn new(pools: BTreeMap<PoolName, BTreeMap<PciAddress, Advertised>>) -> Self {
        Self {
            pools,
            falls: Falls::default(),
        }
    }

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
        vfs.filter(|(_, vf)| vf.leaving.is_some() && !vf.moved)
            .map(|(address, _)| *address)
            .collect()
    }

    /// When time alone changes a verdict, after `now`: a VF may leave its pool, or is kept back no longer.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let vfs = self.pools.values().flat_map(BTreeMap::values);
        let times = vfs.flat_map(|vf| [vf.leaving.map(|since| since + FAREWELL), vf.kept_back]);
        times.flatten().filter(|at| *at > now).min()
    }

    /// Since when the last VF wants to be in another pool, which it may be as soon as no pod holds it.
    pub(crate) fn moving(&self) -> Option<Instant> {
        let vfs = self.pools.values().flat_map(BTreeMap::values);
        let moving = vfs.filter(|vf| !vf.moved && vf.verdict.code() == Some(MOVES));
        moving.filter_map(|vf| vf.leaving).max()
    }

    /// Whether some verdict depends on what pods hold and may change with it.
    pub fn waits_for_pods(&self) -> bool {
        let mut vfs = self.pools.values().flat_map(BTreeMap::values);
        vfs.any(|vf| {
            let objection = vf.objection.as_ref();
            (vf.leaving.is_some() && !vf.moved) || objection.is_some_and(Objection::ends_with_a_pod)
        })
    }

    /// The devices of one pool as the kubelet gets them, with their NUMA nodes if `topology` is to be told: a PCI address is a
    /// valid device ID, and addresses differ.
    pub fn device_set(&self, pool: &PoolName, topology: bool) -> DeviceSet {
        let devices = self.pools.get(pool).into_iter().flatten();
        let set = DeviceSet::new(devices.filter_map(|(address, vf)| {
            let numa_node = vf.numa_node.filter(|_| topology);
            Some(Device {
                id: address.to_string().parse::<DeviceId>().ok()?,
                health: match vf.verdict {
                    Verdict::Healthy => Health::Healthy,
                    Verdict::Unhealthy { .. } => Health::Unhealthy,
                },
                numa_nodes: numa_node.map(NumaNode::get).into_iter().collect(),
            })
        }));
        set.unwrap_or_default()
    }
}
