//! From what was advertised and what is there to what is advertised next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use qat_policy::{PoolName, Standing, Vf};
use sysfs_pci::PciAddress;
use tokio::time::Instant;

use crate::calm::Falls;
use crate::state::MOVES;
use crate::text::chain;
use crate::{Advertised, Calm, Ledger, Look, NodeState, Objection, Verdict};

/// How long a VF is Unhealthy before it may leave its pool. An Allocate that began when it was still
/// Healthy is over by then: the framework cuts it after ten seconds.
pub(crate) const FAREWELL: Duration = Duration::from_secs(12);

/// Judges a look in the light of what was advertised before and of what pods may hold. Pure: the same
/// input gives the same state.
///
/// * A VF that is offered for the first time is Healthy in its pool, unless a pod holds it as something
///   else. Then it is Unhealthy there until that pod is gone.
/// * A VF that was advertised and is now withheld is Unhealthy where it is, with the reason.
/// * One that is gone or offered in another pool is Unhealthy where it is until nobody holds it. Then
///   it leaves, and may come back or be in the other pool. One that no pod has is in the other pool as soon as that is
///   known; the list of the old pool shows it as Unhealthy for a while.
/// * One that came and went too often is Unhealthy until it has been well for a while ([`Calm`]).
/// * A pool without VFs is no more.
#[must_use]
pub fn judge(
    before: &NodeState,
    look: &Look,
    ledger: &Ledger,
    calm: Calm,
    now: Instant,
) -> NodeState {
    let mut judge = Judge {
        look,
        ledger,
        calm,
        now,
        falls: before.falls.clone(),
    };
    let mut pools = BTreeMap::<_, BTreeMap<_, _>>::new();
    let mut known = BTreeSet::new();
    for (pool, vfs) in &before.pools {
        for (address, vf) in vfs {
            if let Some(vf) = judge.again(*address, vf, pool) {
                if !vf.moved {
                    known.insert(*address);
                }
                let vfs = pools.entry(pool.clone()).or_default();
                vfs.insert(*address, vf);
            }
        }
    }
    // The list of a pool that a VF left has shown it as Unhealthy before, so the kubelet assigns it from the new one only.
    for (vf, pool) in look.inventory.offered() {
        if !known.contains(&vf.address) {
            let newcomer = judge.newcomer(vf, pool);
            let vfs = pools.entry(pool.clone()).or_default();
            vfs.insert(vf.address, newcomer);
        }
    }
    let Judge { mut falls, .. } = judge;
    falls.forget(|vf| look.inventory.vfs.contains_key(vf), calm, now);
    NodeState { pools, falls }
}

/// Turns VFs unhealthy that a scan finds healthy although something else, such as a rejected call, says why they cannot be
/// allocated. Such a fault does not count as flapping: pods that follow each other quickly must not damp a VF.
pub(crate) fn overlay(
    before: &NodeState,
    after: &mut NodeState,
    now: Instant,
    fault: impl Fn(&PoolName, PciAddress) -> Option<Verdict>,
) {
    for (pool, vfs) in &mut after.pools {
        let before = before.pools.get(pool);
        for (address, vf) in vfs {
            if vf.verdict != Verdict::Healthy {
                continue;
            }
            let Some(verdict) = fault(pool, *address) else {
                continue;
            };
            let lasting = before.and_then(|vfs| vfs.get(address));
            let lasting = lasting.filter(|before| verdict.continues(&before.verdict));
            vf.since = lasting.map_or(now, |before| before.since);
            vf.verdict = verdict;
        }
    }
}

/// What a judgement is made from.
struct Judge<'a> {
    look: &'a Look,
    ledger: &'a Ledger,
    calm: Calm,
    now: Instant,
    falls: Falls,
}

impl Judge<'_> {
    /// What becomes of a VF that is offered and was not advertised.
    fn newcomer(&mut self, vf: &Vf, pool: &PoolName) -> Advertised {
        let mut newcomer = Advertised {
            verdict: Verdict::Healthy,
            since: self.now,
            pf: vf.pf,
            index: vf.index,
            numa_node: vf.numa_node,
            leaving: None,
            moved: false,
            objection: None,
            kept_back: None,
        };
        let objection = self.ledger.objection(vf.address, pool);
        self.admit(vf.address, &mut newcomer, objection);
        newcomer
    }

    /// What becomes of a VF that was advertised in `pool`: none if it leaves.
    fn again(
        &mut self,
        address: PciAddress,
        before: &Advertised,
        pool: &PoolName,
    ) -> Option<Advertised> {
        if before.moved {
            let shown = |since| self.now < since + FAREWELL;
            return before.leaving.is_some_and(shown).then(|| before.clone());
        }
        let mut vf = before.clone();
        let seen = self.look.inventory.vfs.get(&address);
        if let Some(seen) = seen {
            // What could not be read this time was right the last time.
            vf.pf = seen.pf.or(vf.pf);
            vf.index = seen.index.or(vf.index);
            vf.numa_node = seen.numa_node.or(vf.numa_node);
        }
        let leaves = match seen.map(|seen| &seen.standing) {
            Some(Standing::Offered { pool: now }) if now == pool => {
                // That nothing is known any more is no reason to doubt what was known.
                let known = before.objection.is_none();
                let objection = self.ledger.objection(address, pool);
                let objection = objection.filter(|why| !(known && *why == Objection::Unknown));
                self.admit(address, &mut vf, objection);
                false
            }
            Some(Standing::Offered { pool: now }) => {
                vf.verdict = Verdict::unhealthy(
                    MOVES,
                    format!(
                        "its services or the configuration were changed; it moves to pool `{now}` when no pod holds it"
                    ),
                );
                true
            }
            Some(Standing::Withheld(reason)) => {
                vf.verdict = Verdict::unhealthy(reason.code(), reason.to_string());
                self.fall(address, &mut vf, before);
                false
            }
            None => {
                let (verdict, gone) = absence(address, vf.pf, self.look);
                vf.verdict = verdict;
                self.fall(address, &mut vf, before);
                gone
            }
        };
        if !vf.verdict.continues(&before.verdict) {
            vf.since = self.now;
        }
        vf.leaving = leaves.then(|| vf.leaving.unwrap_or(self.now));
        match (vf.leaving, before.leaving) {
            (Some(since), _) if self.ledger.is_free(address, since + FAREWELL) => None,
            // The list that says so is out, so no Allocate succeeds here any more, and the answers before it are known.
            (Some(since), Some(_)) => {
                vf.moved = vf.verdict.code() == Some(MOVES)
                    && self.ledger.knows_the_pods()
                    && self.ledger.is_free(address, since);
                Some(vf)
            }
            _ => Some(vf),
        }
    }

    /// Healthy, unless there is an objection or it came and went too often.
    fn admit(&mut self, address: PciAddress, vf: &mut Advertised, objection: Option<Objection>) {
        let kept_back = self.falls.well(address, self.calm, self.now);
        vf.verdict = match (&objection, kept_back) {
            (Some(why), _) => Verdict::unhealthy(why.code(), why.to_string()),
            (None, Some(_)) => {
                let Calm { falls, quiet } = self.calm;
                let reason = format!(
                    "it came and went {falls} times within {quiet:?}; it is offered again when it has been well for so long"
                );
                Verdict::unhealthy("flapping", reason)
            }
            (None, None) => Verdict::Healthy,
        };
        vf.objection = objection;
        vf.kept_back = kept_back;
    }

    /// Takes note that something is wrong with a VF.
    fn fall(&mut self, address: PciAddress, vf: &mut Advertised, before: &Advertised) {
        let fell = before.verdict == Verdict::Healthy;
        self.falls.not_well(address, fell, self.calm, self.now);
        vf.kept_back = None;
    }
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
fn absence(address: PciAddress, pf: Option<PciAddress>, look: &Look) -> (Verdict, bool) {
    let mut failures = look.failures.iter();
    let failure = failures.find(|failure| failure.address == Some(address));
    if let Some(failure) = failure {
        return (Verdict::unhealthy("unreadable", chain(failure)), false);
    }
    let pf = pf.map(|pf| (pf, look.inventory.pfs.get(&pf)));
    let reason = match pf {
        Some((pf, None)) => format!("it is gone, and its PF {pf} too"),
        Some((pf, Some(seen))) if seen.vf_count == 0 => {
            let trouble = seen.trouble.first().map(|trouble| format!(": {trouble}"));
            let trouble = trouble.unwrap_or_default();
            format!("it is gone, with all VFs of its PF {pf}{trouble}")
        }
        _ => "it is gone".to_owned(),
    };
    (Verdict::unhealthy("gone", reason), true)
}
