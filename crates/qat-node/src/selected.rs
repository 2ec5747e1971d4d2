//! What selectors of pools make of a node, for people.

use std::collections::{BTreeMap, BTreeSet};

use qat_policy::{Inventory, PoolName, Selector, Traits, Vf};

use crate::journal::{Fact, Weight};

/// What is to be said of pools with selected VFs: one that takes none, with what there is to select; and one to which an earlier
/// one leaves only a part.
pub(crate) fn remarks(inventory: &Inventory, selected: &[(Selector, PoolName)]) -> BTreeSet<Fact> {
    let mut facts = BTreeSet::new();
    if inventory.vfs.is_empty() {
        return facts;
    }
    let mut takers = BTreeMap::new();
    for (selector, name) in selected {
        let vfs = inventory.vfs.values();
        let ours: Vec<&Vf> = vfs.filter(|vf| selector.takes(&traits(vf))).collect();
        if ours.is_empty() {
            facts.insert(Fact {
                weight: Weight::Warning,
                text: format!(
                    "pool `{name}` ({selector}) takes no VF of this node, which has {}",
                    offer(inventory)
                ),
            });
        }
        let mut lost = BTreeMap::<&PoolName, usize>::new();
        for vf in ours {
            match takers.get(&vf.address) {
                Some(taker) => *lost.entry(*taker).or_default() += 1,
                None => {
                    takers.insert(vf.address, name);
                }
            }
        }
        facts.extend(lost.into_iter().map(|(taker, count)| Fact {
            weight: Weight::Info,
            text: format!(
                "pool `{name}` ({selector}) also selects {count} VFs that `{taker}` takes, as that stands before it"
            ),
        }));
    }
    facts
}

fn traits(vf: &Vf) -> Traits<'_> {
    Traits {
        family: Some(vf.family),
        pf: vf.pf,
        index: vf.index,
        numa_node: vf.numa_node,
        services: vf.services.as_ref(),
    }
}

/// What there is to select.
fn offer(inventory: &Inventory) -> String {
    fn listed(what: &str, values: impl Iterator<Item = String>) -> Option<String> {
        let values: BTreeSet<String> = values.collect();
        let values: Vec<String> = values.into_iter().collect();
        (!values.is_empty()).then(|| format!("{what} {}", values.join(" ")))
    }
    let vfs = || inventory.vfs.values();
    let parts = [
        listed("family", vfs().map(|vf| vf.family.to_string())),
        listed("PF", vfs().filter_map(|vf| Some(vf.pf?.to_string()))),
        listed(
            "NUMA node",
            vfs().filter_map(|vf| Some(vf.numa_node?.to_string())),
        ),
        listed(
            "services",
            vfs().filter_map(|vf| Some(vf.services.as_ref()?.set.to_string())),
        ),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
