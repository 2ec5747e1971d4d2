//! What the log says of a node: each fact once, when it becomes true.

use std::collections::{BTreeMap, BTreeSet};

use qat_policy::{Pf, Reason};
use sysfs_pci::PciAddress;
use tracing::{info, warn};

use crate::text::chain;
use crate::{Advertised, Ledger, Look, NodeState, Verdict, resource_text};

/// Remembers what was said, so that a steady state is silent.
#[derive(Debug, Default)]
pub struct Journal {
    said: BTreeSet<Fact>,
}

/// A sentence that is true of the node now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// Whether somebody should look at it.
    pub weight: Weight,
    /// The sentence.
    pub text: String,
}

/// How much a [`Fact`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Good to know.
    Info,
    /// Something is not as it should be.
    Warning,
}

impl Journal {
    /// Writes the facts that were not true at the last call.
    pub fn write(&mut self, facts: BTreeSet<Fact>) {
        for fact in facts.difference(&self.said) {
            match fact.weight {
                Weight::Info => info!("{}", fact.text),
                Weight::Warning => warn!("{}", fact.text),
            }
        }
        self.said = facts;
    }
}

/// Every fact worth a line, from a look, the state after it and what is known of pods. Pure.
pub fn facts(look: &Look, state: &NodeState, ledger: &Ledger) -> BTreeSet<Fact> {
    let mut facts = BTreeSet::new();
    let mut say = |weight, text| {
        facts.insert(Fact { weight, text });
    };
    if look.inventory.vfs.is_empty() && state.pools.is_empty() {
        say(
            Weight::Info,
            "no QAT VFs on this node; waiting for them".to_owned(),
        );
    }
    for pf in look.inventory.pfs.values() {
        for trouble in &pf.trouble {
            say(Weight::Warning, format!("PF {}: {trouble}", pf.address));
        }
        if let Some(text) = two_spellings(pf) {
            say(Weight::Info, text);
        }
    }
    // A kubelet that is not up yet is no shortcoming of a mount.
    let view = ledger.view().filter(|view| view.settled);
    if let Some(text) = view.and_then(|view| view.source.shortcoming()) {
        say(Weight::Warning, text);
    }
    for failure in &look.failures {
        say(Weight::Warning, chain(failure));
    }
    for (trouble, (weight, vfs)) in withheld(look, state) {
        say(
            weight,
            format!("{} not offered: {}", trouble.whose(&vfs), trouble.reason),
        );
    }
    for (pool, vfs) in &state.pools {
        let resource = resource_text(pool);
        let healthy = vfs
            .values()
            .filter(|vf| vf.verdict == Verdict::Healthy)
            .count();
        say(
            Weight::Info,
            format!("{resource}: {healthy} of {} VFs healthy", vfs.len()),
        );
        for (trouble, vfs) in unhealthy(vfs) {
            let whose = trouble.whose(&vfs);
            say(
                Weight::Warning,
                format!("{resource}: {whose} Unhealthy: {}", trouble.reason),
            );
        }
    }
    facts
}

/// What is wrong with some VFs of a PF, or of no PF in a guest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Trouble {
    pf: Option<PciAddress>,
    reason: String,
}

impl Trouble {
    /// `VF 0000:6b:00.1` or `16 VFs (0000:6b:00.1 to 0000:6b:02.0)`, of which PF.
    fn whose(&self, vfs: &[PciAddress]) -> String {
        let vfs = match vfs {
            [] => "no VF".to_owned(),
            [one] => format!("VF {one}"),
            [first, .., last] => format!("{} VFs ({first} to {last})", vfs.len()),
        };
        self.pf
            .map_or_else(|| vfs.clone(), |pf| format!("{vfs} of PF {pf}"))
    }
}

/// Withheld VFs with the same reason on the same PF, together. Those that are advertised are left
/// out: they are reported as Unhealthy.
fn withheld(look: &Look, state: &NodeState) -> BTreeMap<Trouble, (Weight, Vec<PciAddress>)> {
    let advertised = state.advertised();
    let mut together: BTreeMap<_, (Weight, Vec<_>)> = BTreeMap::new();
    for (vf, reason) in look.inventory.withheld() {
        if !advertised.contains(&vf.address) {
            let trouble = Trouble {
                pf: vf.pf,
                reason: reason.to_string(),
            };
            let entry = together
                .entry(trouble)
                .or_insert_with(|| (weight(reason), Vec::new()));
            entry.1.push(vf.address);
        }
    }
    together
}

/// Unhealthy VFs of a pool with the same reason on the same PF, together.
fn unhealthy(vfs: &BTreeMap<PciAddress, Advertised>) -> BTreeMap<Trouble, Vec<PciAddress>> {
    let mut together: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (address, vf) in vfs {
        if let Verdict::Unhealthy { reason, .. } = &vf.verdict {
            let trouble = Trouble {
                pf: vf.pf,
                reason: reason.clone(),
            };
            together.entry(trouble).or_default().push(*address);
        }
    }
    together
}

/// A family that the operator switched off is no cause for worry; all else is.
fn weight(reason: &Reason) -> Weight {
    match reason {
        Reason::FamilyNotEnabled { .. } => Weight::Info,
        _ => Weight::Warning,
    }
}

/// Where the Go plugin would spell the name of a PF's resource in another way, both.
fn two_spellings(pf: &Pf) -> Option<String> {
    let both = qat_policy::spellings(pf.services.as_ref()?).ok()?;
    both.differ().then(|| {
        format!(
            "PF {}: its services are `{}` by canonical name and `{}` as read from the kernel; \
             --resource-names chooses",
            pf.address,
            resource_text(&both.canonical),
            resource_text(&both.as_read),
        )
    })
}
