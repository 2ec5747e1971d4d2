//! Which of the free VFs a container should get.
//!
//! The kubelet asks before each allocation (`GetPreferredAllocation`, KEP-1769 and KEP-693) and
//! knows only what is free. The answer is advice; it must be a subset of what is free and have the
//! size that was asked for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sysfs_pci::{NumaNode, PciAddress};

/// How to choose between VFs that are equally near.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllocationPolicy {
    /// Lowest addresses first.
    #[default]
    None,
    /// Use up the PF with the fewest free VFs first, so that other PFs stay wholly free.
    Packed,
    /// Take each VF from the PF with the most free VFs, so that the load spreads over the PFs.
    Balanced,
}

/// A text that names no policy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown allocation policy `{value}`; allowed are: none, packed, balanced")]
pub struct UnknownPolicy {
    /// The text.
    pub value: String,
}

/// A free VF and where it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// Address of the VF.
    pub address: PciAddress,
    /// Its PF, where that is visible.
    pub pf: Option<PciAddress>,
    /// Its NUMA node, where that is known.
    pub numa_node: Option<NumaNode>,
}

impl AllocationPolicy {
    /// Returns the policy as it is written on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Packed => "packed",
            Self::Balanced => "balanced",
        }
    }
}

impl fmt::Display for AllocationPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for AllocationPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::None, Self::Packed, Self::Balanced]
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| UnknownPolicy {
                value: text.to_owned(),
            })
    }
}

/// Chooses `size` of the free VFs, or all of them if there are fewer.
///
/// 1. What is in `must_include` comes first. Of what is not free nothing is taken; if it is more
///    than `size`, its lowest addresses are.
/// 2. The answer spans as few NUMA nodes as possible: the nodes of `must_include` before others,
///    then a node that has room for all that is still needed, and while there is none, the node
///    with the most free VFs. VFs without a known node count as one more node.
/// 3. Between nodes with room, and between the VFs of a node, `policy` decides by how many VFs each
///    PF really has free. VFs without a visible PF count as those of one PF.
///
/// The answer is sorted by address, has no duplicates, and does not depend on the order of the
/// arguments. It never fails: nonsense in the request gives fewer VFs, not an error. If `available`
/// has an address twice, its first place counts.
///
/// # Examples
///
/// ```
/// use qat_policy::{AllocationPolicy, Place, prefer};
/// use sysfs_pci::PciAddress;
///
/// let place = |vf: &str, pf: &str| -> Result<Place, Box<dyn std::error::Error>> {
///     Ok(Place { address: vf.parse()?, pf: Some(pf.parse()?), numa_node: None })
/// };
/// // One PF is nearly used up, the other is free.
/// let free = [
///     place("0000:6b:00.1", "0000:6b:00.0")?,
///     place("0000:70:00.1", "0000:70:00.0")?,
///     place("0000:70:00.2", "0000:70:00.0")?,
/// ];
/// let balanced: Vec<PciAddress> = prefer(AllocationPolicy::Balanced, &free, &[], 1);
/// assert_eq!(balanced, ["0000:70:00.1".parse()?]);
/// let packed = prefer(AllocationPolicy::Packed, &free, &[], 1);
/// assert_eq!(packed, ["0000:6b:00.1".parse()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn prefer(
    policy: AllocationPolicy,
    available: &[Place],
    must_include: &[PciAddress],
    size: usize,
) -> Vec<PciAddress> {
    let mut places: BTreeMap<PciAddress, Place> = BTreeMap::new();
    for place in available {
        places.entry(place.address).or_insert(*place);
    }
    let must: BTreeSet<PciAddress> = must_include
        .iter()
        .copied()
        .filter(|address| places.contains_key(address))
        .collect();
    let mut chosen: BTreeSet<PciAddress> = must.iter().copied().take(size).collect();
    let home: BTreeSet<Option<NumaNode>> = chosen
        .iter()
        .filter_map(|address| places.get(address))
        .map(|place| place.numa_node)
        .collect();

    let mut nodes: BTreeMap<Option<NumaNode>, Node> = BTreeMap::new();
    for place in places
        .values()
        .filter(|place| !must.contains(&place.address))
    {
        nodes
            .entry(place.numa_node)
            .or_default()
            .pfs
            .entry(place.pf)
            .or_default()
            .insert(place.address);
    }

    loop {
        let needed = size.saturating_sub(chosen.len());
        if needed == 0 {
            break;
        }
        let Some(node) = next_node(policy, &mut nodes, &home, needed) else {
            break;
        };
        chosen.extend(node.pick(policy, needed));
    }
    chosen.into_iter().collect()
}

/// Removes the node to take VFs from next; `None` if no VF is left.
fn next_node(
    policy: AllocationPolicy,
    nodes: &mut BTreeMap<Option<NumaNode>, Node>,
    home: &BTreeSet<Option<NumaNode>>,
    needed: usize,
) -> Option<Node> {
    let at_home = nodes.keys().any(|node| home.contains(node));
    let near = || {
        nodes
            .iter()
            .filter(|(node, _)| !at_home || home.contains(node))
    };
    let with_room = near()
        .filter(|(_, node)| node.free() >= needed)
        .min_by_key(|(_, node)| node.rank(policy));
    let most_free = || near().min_by_key(|(_, node)| (Reverse(node.free()), node.first()));
    let next = with_room.or_else(most_free).map(|(node, _)| *node)?;
    nodes.remove(&next)
}

/// The free VFs of a NUMA node, by PF. Neither the node nor a PF in it is empty.
#[derive(Default)]
struct Node {
    pfs: BTreeMap<Option<PciAddress>, BTreeSet<PciAddress>>,
}

impl Node {
    fn free(&self) -> usize {
        self.pfs.values().map(BTreeSet::len).sum()
    }

    fn first(&self) -> Option<PciAddress> {
        self.pfs
            .values()
            .filter_map(|vfs| vfs.first().copied())
            .min()
    }

    /// Lower is better.
    fn rank(&self, policy: AllocationPolicy) -> (usize, usize, Option<PciAddress>) {
        let free_of_pfs = || self.pfs.values().map(BTreeSet::len);
        match policy {
            AllocationPolicy::None => (0, 0, self.first()),
            AllocationPolicy::Packed => {
                (free_of_pfs().min().unwrap_or(0), self.free(), self.first())
            }
            AllocationPolicy::Balanced => {
                let best = free_of_pfs().max().unwrap_or(0);
                (usize::MAX - best, usize::MAX - self.free(), self.first())
            }
        }
    }

    /// Takes `count` VFs, or all if there are fewer.
    fn pick(self, policy: AllocationPolicy, count: usize) -> Vec<PciAddress> {
        let mut pfs: Vec<BTreeSet<PciAddress>> = self.pfs.into_values().collect();
        match policy {
            AllocationPolicy::None => {
                let all: BTreeSet<PciAddress> = pfs.into_iter().flatten().collect();
                all.into_iter().take(count).collect()
            }
            AllocationPolicy::Packed => {
                pfs.sort_by_key(|vfs| (vfs.len(), vfs.first().copied()));
                pfs.into_iter().flatten().take(count).collect()
            }
            AllocationPolicy::Balanced => {
                let mut picked = Vec::new();
                while picked.len() < count {
                    // After a PF has given one it has fewer than its equals, so ties go round.
                    let fullest = pfs
                        .iter_mut()
                        .min_by_key(|vfs| (Reverse(vfs.len()), vfs.first().copied()));
                    let Some(address) = fullest.and_then(BTreeSet::pop_first) else {
                        break;
                    };
                    picked.push(address);
                }
                picked
            }
        }
    }
}
