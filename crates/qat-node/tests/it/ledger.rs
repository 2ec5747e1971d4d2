//! A VF is in one pool at a time, and changes it only when nobody holds it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use device_plugin::pods::{
    CheckpointError, Holder, Holdings, Pod, PodResourcesError, PodView, Source, read_checkpoint,
};
use node_sim::{Machine, Profile};
use qat_node::{Ledger, NodeState, Verdict, facts};
use qat_policy::PoolName;
use sysfs_pci::PciAddress;
use tokio::time::Instant;

use crate::machine::{Site, judge, told};

/// A while in which everything that has a limit is over.
const LONG: Duration = Duration::from_mins(5);

fn pool(name: &str) -> PoolName {
    PoolName::try_new(name).unwrap()
}

/// What the kubelet says at `asked`: these VFs are held under these resources.
fn view(asked: Instant, held: &[(PciAddress, &str)]) -> PodView {
    let mut holdings = Holdings::default();
    for (vf, resource) in held {
        let holder = Holder {
            pod: Pod::Named {
                namespace: "default".to_owned(),
                name: "vm".to_owned(),
            },
            container: "compute".to_owned(),
        };
        holdings.insert(resource, &vf.to_string(), holder);
    }
    PodView {
        asked,
        settled: true,
        source: Source::Kubelet,
        holdings,
    }
}

/// Nobody says anything.
fn silence(asked: Instant) -> PodView {
    let path = PathBuf::from("/nowhere");
    PodView {
        source: Source::Nobody {
            kubelet: PodResourcesError::Absent { path: path.clone() },
            checkpoint: CheckpointError::TooLarge { path },
        },
        ..view(asked, &[])
    }
}

fn ledger(view: PodView) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.learn(Arc::new(view));
    ledger
}

/// Where a VF is, and what is wrong with it.
fn places(state: &NodeState, vf: PciAddress) -> Vec<(&str, Option<&str>)> {
    let homes = state.pools.iter().filter_map(|(pool, vfs)| {
        let reason = match &vfs.get(&vf)?.verdict {
            Verdict::Healthy => None,
            Verdict::Unhealthy { reason, .. } => Some(reason.as_str()),
        };
        Some((pool.as_str(), reason))
    });
    homes.collect()
}

#[test]
fn a_vf_that_is_held_as_something_else_is_not_offered_before_it_is_free() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let (now, vfs) = (Instant::now(), site.node.vfs());
    let (foreign, same) = (vfs[0], vfs[1]);
    let held = view(
        now,
        &[(foreign, "intel.com/qat_vf"), (same, "qat.intel.com/cy")],
    );
    let look = site.look();
    let first = judge(&NodeState::default(), &look, &ledger(held), now);
    let [("cy", Some(reason))] = places(&first, foreign)[..] else {
        panic!("{:?}", places(&first, foreign));
    };
    assert_eq!(
        reason,
        "container compute of pod default/vm holds it as intel.com/qat_vf; it is offered here when \
         that pod is gone"
    );
    assert_eq!(places(&first, same), [("cy", None)], "its own name is fine");
    assert!(first.waits_for_pods());

    let second = judge(&first, &look, &ledger(view(now, &[])), now);
    assert_eq!(places(&second, foreign), [("cy", None)]);
    assert!(!second.waits_for_pods());
}

#[test]
fn a_vf_moves_to_its_new_pool_when_nobody_holds_it() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let begun = Instant::now();
    let pf = site.node.pfs()[0];
    let vf = site.node.vfs_of(pf)[0];
    let free = |at| view(at, &[]);
    let first = judge(
        &NodeState::default(),
        &site.look(),
        &ledger(free(begun)),
        begun,
    );
    site.node.set_services(pf, "dc").unwrap();
    let look = site.look();

    // Since this moment it wants to leave. An answer from before does not count.
    let second = judge(&first, &look, &ledger(free(begun)), begun);
    assert!(
        places(&second, vf)[0]
            .1
            .unwrap()
            .contains("moves to pool `dc`")
    );
    let soon = begun + Duration::from_secs(1);
    let mut unsettled = view(soon, &[]);
    unsettled.settled = false;
    let third = judge(&second, &look, &ledger(unsettled), soon);
    assert_eq!(third, second, "the kubelet may not know its pods yet");

    let late = begun + LONG;
    let held = ledger(view(late, &[(vf, "qat.intel.com/cy")]));
    let fourth = judge(&third, &look, &held, late);
    assert_eq!(places(&fourth, vf)[0].0, "cy", "a pod holds it");

    let mut given = ledger(free(late));
    given.answered(&pool("cy"), &[vf], late);
    let fifth = judge(&third, &look, &given, late);
    assert_eq!(places(&fifth, vf)[0].0, "cy", "it was just handed out");

    let mut open = ledger(free(late));
    open.see(BTreeMap::from([(vf, true)]));
    let sixth = judge(&third, &look, &open, late);
    assert_eq!(places(&sixth, vf)[0].0, "cy", "it is open");

    let left = judge(&third, &look, &ledger(free(late)), late);
    assert_eq!(places(&left, vf), [("dc", None)]);
    let dc = left.pools[&pool("dc")].len();
    assert_eq!(
        dc + left.pools[&pool("cy")].len(),
        first.advertised().len(),
        "nothing is lost on the way"
    );
}

/// No Allocate succeeds for it in its old pool any more, and the kubelet may crash if the old list lacks it at once.
#[test]
fn free_vf_moves_at_once_and_stays_in_the_old_list_for_a_while() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let begun = Instant::now();
    let at = |seconds| begun + Duration::from_secs(seconds);
    let pf = site.node.pfs()[0];
    let vf = site.node.vfs_of(pf)[0];
    let free = |at| ledger(view(at, &[]));
    let first = judge(&NodeState::default(), &site.look(), &free(begun), begun);
    site.node.set_services(pf, "dc").unwrap();
    let look = site.look();
    // The list that shows it Unhealthy is not out yet.
    let second = judge(&first, &look, &free(at(1)), at(1));
    assert_eq!(places(&second, vf).len(), 1);
    let third = judge(&second, &look, &free(at(2)), at(2));
    let [("cy", Some(reason)), ("dc", None)] = places(&third, vf)[..] else {
        panic!("{:?}", places(&third, vf));
    };
    assert!(reason.contains("moves to pool `dc`"), "{reason}");
    assert!(!third.waits_for_pods());
    assert_eq!(
        third.device_set(&pool("cy"), true),
        second.device_set(&pool("cy"), true)
    );
    let gone = third.due(at(2)).unwrap();
    assert_eq!(judge(&third, &look, &free(at(3)), at(3)), third);
    let last = judge(&third, &look, &free(gone), gone);
    assert_eq!(places(&last, vf), [("dc", None)]);

    // The services are set back before.
    site.node.set_services(pf, "asym;sym").unwrap();
    let look = site.look();
    let back = judge(&third, &look, &free(at(4)), at(4));
    let back = judge(&back, &look, &free(at(5)), at(5));
    let [("cy", None), ("dc", Some(_))] = places(&back, vf)[..] else {
        panic!("{:?}", places(&back, vf));
    };
}

#[test]
fn a_vf_that_is_gone_leaves_the_list_and_an_empty_pool_with_it() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let (begun, late) = (Instant::now(), Instant::now() + LONG);
    let first = judge(
        &NodeState::default(),
        &site.look(),
        &ledger(view(begun, &[])),
        begun,
    );
    let gone: Vec<PciAddress> = first.pools[&pool("dc")].keys().copied().collect();
    for vf in &gone {
        site.node.unplug(*vf).unwrap();
    }
    let look = site.look();
    let second = judge(&first, &look, &ledger(view(begun, &[])), begun);
    assert_eq!(second.advertised(), first.advertised());
    let silent = judge(&second, &look, &ledger(silence(late)), late);
    assert_eq!(
        told(&silent),
        told(&second),
        "nobody says that they are free"
    );
    let held = ledger(view(late, &[(gone[0], "qat.intel.com/dc")]));
    let third = judge(&second, &look, &held, late);
    assert_eq!(third.pools[&pool("dc")].len(), 1, "one is held");
    let fourth = judge(&third, &look, &ledger(view(late, &[])), late);
    assert!(!fourth.pools.contains_key(&pool("dc")));
}

#[test]
fn where_nobody_says_what_pods_hold_an_open_vf_counts_as_held() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let (now, vfs) = (Instant::now(), site.node.vfs());
    let look = site.look();
    let mut nobody = ledger(silence(now));
    nobody.see(BTreeMap::from([(vfs[0], false), (vfs[1], true)]));
    let first = judge(&NodeState::default(), &look, &nobody, now);
    assert_eq!(places(&first, vfs[0]), [("cy", None)], "closed is free");
    for vf in &vfs[1..3] {
        let [(_, Some(reason))] = places(&first, *vf)[..] else {
            panic!("{vf} is offered");
        };
        assert!(
            reason.contains("mount the kubelet's pod-resources"),
            "{reason}"
        );
    }
    let lines = facts(&look, &first, &nobody);
    let mount = |line: &&qat_node::Fact| line.text.contains("mount its directory");
    assert_eq!(lines.iter().filter(mount).count(), 1, "{lines:#?}");

    // Once it was known to be free for this pool, that nobody knows any more changes nothing.
    let known = judge(&first, &look, &ledger(view(now, &[])), now);
    assert_eq!(places(&known, vfs[1]), [("cy", None)]);
    assert_eq!(judge(&known, &look, &ledger(silence(now)), now), known);
}

/// Written by kubelet 1.20.2 while pods held VFs of ours.
#[test]
fn the_checkpoint_of_a_real_kubelet_keeps_its_vfs_from_other_pools() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoint-1.20.2.json");
    let held = PodView {
        source: Source::Checkpoint {
            instead: PodResourcesError::Absent { path: path.clone() },
        },
        holdings: read_checkpoint(&path).unwrap(),
        ..view(Instant::now(), &[])
    };
    let ledger = ledger(held);
    let vf: PciAddress = "0000:6b:00.1".parse().unwrap();
    assert_eq!(ledger.objection(vf, &pool("cy")), None);
    let objection = ledger.objection(vf, &pool("dc")).unwrap().to_string();
    assert!(
        objection.contains("holds it as qat.intel.com/cy"),
        "{objection}"
    );
}

#[test]
fn what_was_handed_out_is_forgotten_when_the_kubelet_had_time_to_write_it_down() {
    let now = Instant::now();
    let vf: PciAddress = "0000:6b:00.1".parse().unwrap();
    let mut ledger = Ledger::default();
    ledger.answered(&pool("cy"), &[vf], now);
    assert!(ledger.objection(vf, &pool("cy")).is_none());
    let objection = ledger.objection(vf, &pool("dc")).unwrap().to_string();
    assert!(objection.contains("just given"), "{objection}");
    ledger.learn(Arc::new(view(now + Duration::from_secs(1), &[])));
    assert!(ledger.objection(vf, &pool("dc")).is_some());
    ledger.learn(Arc::new(view(now + LONG, &[])));
    assert_eq!(ledger.objection(vf, &pool("dc")), None);
}
