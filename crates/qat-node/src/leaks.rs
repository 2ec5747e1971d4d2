//! VFs that are open although no pod holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sysfs_pci::PciAddress;
use tokio::time::Instant;

use crate::{Ledger, NodeState};

/// How long after the start the first survey is.
const FIRST: Duration = Duration::from_secs(10);

/// How often to look usually.
const USUAL: Duration = Duration::from_mins(5);

/// How often to look while something is suspected or found.
const AGAIN: Duration = Duration::from_secs(10);

/// A VF that is open although no pod holds it: a process outside of pods has it, or one that a pod left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leak {
    /// Since when that is known.
    pub since: Instant,
    /// Who held it last, if that is known.
    pub last_holder: Option<String>,
}

/// Looks now and then whether VFs that nobody holds are open.
///
/// Opening a VF enables it, which sysfs tells (`enable`); no event does. A VF counts as leaked when two looks in a row found it
/// open and free, as a pod that ends is forgotten by the kubelet a moment before its last process is gone. Only VFs
/// that no pod holds are looked at: a few calls for each, every five minutes.
#[derive(Debug)]
pub(crate) struct Leaks {
    suspects: BTreeSet<PciAddress>,
    found: BTreeMap<PciAddress, Leak>,
    next: Instant,
}

impl Leaks {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            suspects: BTreeSet::new(),
            found: BTreeMap::new(),
            next: now + FIRST,
        }
    }

    /// When to look next.
    pub(crate) const fn due(&self) -> Instant {
        self.next
    }

    /// What was found.
    pub(crate) const fn found(&self) -> &BTreeMap<PciAddress, Leak> {
        &self.found
    }

    /// Looks at the VFs that nobody holds, and returns whether something else was found than before. Where it is not known
    /// what pods hold nothing is concluded.
    pub(crate) fn survey(
        &mut self,
        state: &NodeState,
        ledger: &Ledger,
        open: impl FnOnce(&BTreeSet<PciAddress>) -> BTreeMap<PciAddress, bool>,
        now: Instant,
    ) -> bool {
        if !ledger.knows_the_pods() {
            self.next = now + AGAIN;
            return false;
        }
        let free = state.advertised();
        let free = free.into_iter().filter(|vf| !ledger.is_held(*vf)).collect();
        let open = open(&free).into_iter().filter(|(_, open)| *open);
        let open: BTreeSet<PciAddress> = open.map(|(vf, _)| vf).collect();
        let before = self.found.len();
        self.found.retain(|vf, _| open.contains(vf));
        let mut changed = self.found.len() != before;
        for vf in open.intersection(&self.suspects) {
            self.found.entry(*vf).or_insert_with(|| {
                changed = true;
                Leak {
                    since: now,
                    last_holder: ledger.last_holder(*vf),
                }
            });
        }
        self.next = now + if open.is_empty() { USUAL } else { AGAIN };
        self.suspects = open;
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use device_plugin::pods::{Holder, Holdings, Pod, PodView, Source};
    use qat_policy::PoolName;

    use super::*;
    use crate::{Advertised, Objection, Verdict};

    fn vf(function: u8) -> PciAddress {
        PciAddress::new(0, 0x6b, 0, function).unwrap()
    }

    fn pool() -> PoolName {
        PoolName::try_new("cy").unwrap()
    }

    fn state(now: Instant) -> NodeState {
        let healthy = Advertised {
            index: None,
            verdict: Verdict::Healthy,
            since: now,
            pf: None,
            numa_node: None,
            leaving: None,
            moved: false,
            objection: None,
            kept_back: None,
        };
        let vfs = (1..4).map(|function| (vf(function), healthy.clone()));
        NodeState::new(BTreeMap::from([(pool(), vfs.collect())]))
    }

    fn view(asked: Instant, held: &[PciAddress]) -> PodView {
        let mut holdings = Holdings::default();
        for vf in held {
            let holder = Holder {
                pod: Pod::Uid("u".to_owned()),
                container: "c".to_owned(),
            };
            holdings.insert("qat.intel.com/cy", &vf.to_string(), holder);
        }
        PodView {
            asked,
            settled: true,
            source: Source::Kubelet,
            holdings,
        }
    }

    fn open(vfs: &[u8]) -> impl Fn(&BTreeSet<PciAddress>) -> BTreeMap<PciAddress, bool> {
        move |asked| {
            let open = |one: &PciAddress| vfs.iter().any(|function| vf(*function) == *one);
            asked.iter().map(|one| (*one, open(one))).collect()
        }
    }

    #[test]
    fn what_two_surveys_find_open_and_free_is_a_leak_until_it_is_closed() {
        let now = Instant::now();
        let (state, mut ledger, mut leaks) = (state(now), Ledger::default(), Leaks::new(now));
        assert!(
            !leaks.survey(&state, &ledger, open(&[1]), now),
            "nobody was asked"
        );
        // A pod has 1 and opens it, and ends. Another process has 2.
        ledger.learn(Arc::new(view(now, &[vf(1)])));
        assert!(!leaks.survey(&state, &ledger, open(&[1, 2]), now));
        assert_eq!(leaks.suspects, BTreeSet::from([vf(2)]));
        ledger.learn(Arc::new(view(now, &[])));
        assert!(leaks.survey(&state, &ledger, open(&[1, 2]), now));
        assert_eq!(leaks.found().keys().collect::<Vec<_>>(), [&vf(2)]);
        assert!(leaks.survey(&state, &ledger, open(&[1, 2]), now));
        let holder = |function| leaks.found()[&vf(function)].last_holder.clone();
        let pod = "container c of the pod with UID u";
        assert_eq!((holder(1).as_deref(), holder(2)), (Some(pod), None));
        assert_eq!(leaks.due(), now + AGAIN);

        ledger.leaked(leaks.found());
        let objection = ledger.objection(vf(1), &pool()).unwrap();
        assert!(!objection.ends_with_a_pod());
        assert_eq!(
            objection.to_string(),
            format!(
                "it is open although no pod holds it (last: {pod}); `qat-inspect show` names the process that has it"
            )
        );
        assert!(leaks.survey(&state, &ledger, open(&[]), now));
        assert!(leaks.found().is_empty());
        assert_eq!(leaks.due(), now + USUAL);
        ledger.leaked(leaks.found());
        assert_eq!(ledger.objection(vf(1), &pool()), None::<Objection>);
    }

    #[test]
    fn where_it_is_not_known_what_pods_hold_nothing_is_concluded() {
        let now = Instant::now();
        let (state, mut ledger, mut leaks) = (state(now), Ledger::default(), Leaks::new(now));
        let unsettled = PodView {
            settled: false,
            ..view(now, &[])
        };
        ledger.learn(Arc::new(unsettled));
        for _ in 0..3 {
            assert!(!leaks.survey(&state, &ledger, open(&[1]), now));
        }
        assert!(leaks.found().is_empty());
    }
}
