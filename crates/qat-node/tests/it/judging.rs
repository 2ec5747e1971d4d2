//! Law 5: a VF that was advertised once is never dropped.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;

use node_sim::{Change, Machine, Profile};
use qat_node::{Ledger, Looker, NodeState, Verdict, facts};
use qat_policy::PoolName;
use sysfs_pci::PciAddress;

use crate::machine::{Site, judged, told};

fn cy() -> PoolName {
    PoolName::try_new("cy").unwrap()
}

fn reason(state: &NodeState, vf: PciAddress) -> Option<String> {
    match &state.pools[&cy()][&vf].verdict {
        Verdict::Healthy => None,
        Verdict::Unhealthy { reason, .. } => Some(reason.clone()),
    }
}

#[test]
fn a_vf_that_goes_away_stays_listed_and_heals() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let vf = site.node.vfs()[0];
    let first = judged(&NodeState::default(), &site.look());
    assert_eq!(first.pools.len(), 2);
    assert_eq!(first.advertised().len(), 64);
    assert_eq!(reason(&first, vf), None);

    site.node.unplug(vf).unwrap();
    let second = judged(&first, &site.look());
    assert_eq!(second.advertised(), first.advertised());
    assert_eq!(reason(&second, vf).as_deref(), Some("it is gone"));

    site.node.replug(vf).unwrap();
    assert_eq!(told(&judged(&second, &site.look())), told(&first));
}

#[test]
fn a_vf_that_loses_its_driver_or_node_is_unhealthy_with_the_reason() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let (unbound, nodeless) = (site.node.vfs()[1], site.node.vfs()[2]);
    let first = judged(&NodeState::default(), &site.look());
    site.node.unbind(unbound).unwrap();
    site.node
        .remove_node(site.node.group_of(nodeless).unwrap())
        .unwrap();
    let second = judged(&first, &site.look());
    assert!(reason(&second, unbound).unwrap().contains("no driver"));
    assert!(reason(&second, nodeless).unwrap().contains("/dev/vfio/"));
    let unhealthy = second.pools[&cy()]
        .values()
        .filter(|vf| vf.verdict != Verdict::Healthy);
    assert_eq!(unhealthy.count(), 2, "one broken VF harms no other");
}

#[test]
fn a_vf_whose_services_change_stays_in_its_pool_and_enters_no_other() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let pf = site.node.pfs()[0];
    let first = judged(&NodeState::default(), &site.look());
    site.node.set_services(pf, "dc").unwrap();
    let second = judged(&first, &site.look());
    for vf in site.node.vfs_of(pf) {
        let reason = reason(&second, vf).unwrap();
        assert!(reason.contains("moves to pool `dc`"), "{reason}");
    }
    let dc = PoolName::try_new("dc").unwrap();
    assert_eq!(
        second.pools[&dc], first.pools[&dc],
        "a pod may hold them as cy"
    );
    site.node.set_services(pf, "asym;sym").unwrap();
    assert_eq!(told(&judged(&second, &site.look())), told(&first));
}

#[test]
fn a_vf_whose_pf_tells_nothing_for_one_look_does_not_move() {
    let machine = Machine::profile(Profile::Xeon4xxx).with(Change::NoDebugfs);
    let mut site = Site::new(machine);
    let pf = site.node.pfs()[0];
    let first = judged(&NodeState::default(), &site.look());
    let services = site.node.device(pf).join("qat/cfg_services");
    fs::rename(&services, services.with_extension("away")).unwrap();
    let second = judged(&first, &site.look());
    assert_eq!(second.pools.len(), 2, "no third pool for good");
    assert!(reason(&second, site.node.vfs_of(pf)[0]).is_some());
    fs::rename(services.with_extension("away"), &services).unwrap();
    assert_eq!(told(&judged(&second, &site.look())), told(&first));
}

#[test]
fn a_vf_that_loses_the_link_to_its_pf_is_no_guests_vf() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let vf = site.node.vfs()[6];
    let physfn = site.node.device(vf).join("physfn");
    fs::rename(&physfn, physfn.with_extension("away")).unwrap();
    let fresh = judged(&NodeState::default(), &site.look());
    assert_eq!(
        fresh.pools.len(),
        2,
        "no pool `generic`: {:?}",
        fresh.pools.keys()
    );
    assert!(!fresh.advertised().contains(&vf));
}

#[test]
fn an_unreadable_pf_costs_no_topology() {
    let mut site = Site::new(Machine::profile(Profile::C62x));
    let pf = site.node.pfs()[0];
    let first = judged(&NodeState::default(), &site.look());
    let driver = site.node.device(pf).join("driver");
    fs::rename(&driver, driver.with_extension("away")).unwrap();
    fs::write(&driver, "no link").unwrap();
    let second = judged(&first, &site.look());
    let generic = PoolName::generic();
    for (vf, now) in &second.pools[&generic] {
        let then = &first.pools[&generic][vf];
        assert_eq!((now.numa_node, now.pf), (then.numa_node, then.pf), "{vf}");
    }
    let set = second.device_set(&generic, true);
    assert!(set.iter().all(|device| !device.numa_nodes.is_empty()));
}

#[test]
fn a_cap_keeps_those_that_were_advertised() {
    let vfs = Machine::profile(Profile::C62x).vfs();
    let machine = Machine::profile(Profile::C62x).with(Change::Driver {
        address: vfs[0],
        driver: None,
    });
    let mut site = Site::new(machine);
    site.wish(|wishes| wishes.rules.cap = NonZeroUsize::new(4));
    let mut looker = Looker::new(&site.settings.roots, site.settings.rules());
    let first = judged(
        &NodeState::default(),
        &looker.look(&BTreeSet::new()).unwrap(),
    );
    let expected: BTreeSet<_> = vfs[1..5].iter().copied().collect();
    assert_eq!(first.advertised(), expected);
    // The lowest address comes late: it must not push out a VF that a pod may hold.
    site.node.bind(vfs[0], "vfio-pci").unwrap();
    let look = looker.look(&first.advertised()).unwrap();
    assert_eq!(judged(&first, &look), first);
}

#[test]
fn a_cap_is_never_exceeded_and_never_takes_back() {
    let mut site = Site::new(Machine::profile(Profile::C62x));
    site.wish(|wishes| wishes.rules.cap = NonZeroUsize::new(4));
    let mut looker = Looker::new(&site.settings.roots, site.settings.rules());
    let vf = site.node.vfs()[0];
    let first = judged(
        &NodeState::default(),
        &looker.look(&BTreeSet::new()).unwrap(),
    );
    site.node.unbind(vf).unwrap();
    let second = judged(&first, &looker.look(&first.advertised()).unwrap());
    assert_eq!(
        second.advertised(),
        first.advertised(),
        "nobody takes its place"
    );
    site.node.bind(vf, "vfio-pci").unwrap();
    let third = judged(&second, &looker.look(&second.advertised()).unwrap());
    assert_eq!(told(&third), told(&first));
}

#[test]
fn a_shared_group_keeps_its_owner() {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let [a, b] = [machine.vfs()[0], machine.vfs()[1]];
    let mut site = Site::new(machine.with(Change::SharedGroup { a, b }));
    let first = judged(&NodeState::default(), &site.look());
    assert!(first.advertised().contains(&a) && !first.advertised().contains(&b));
    site.node.unbind(a).unwrap();
    let look = site.looker.look(&first.advertised()).unwrap();
    let second = judged(&first, &look);
    assert_eq!(
        second.advertised(),
        first.advertised(),
        "a pod may hold the group by way of {a}"
    );
}

#[test]
fn the_same_state_gives_the_same_list() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxxTwoSockets));
    let first = judged(&NodeState::default(), &site.look());
    let again = judged(&first, &site.look());
    assert_eq!(first, again);
    assert_eq!(first.device_set(&cy(), true), again.device_set(&cy(), true));
    let look = site.look();
    assert_eq!(
        facts(&look, &first, &Ledger::default()),
        facts(&look, &again, &Ledger::default())
    );
}

#[test]
fn the_log_names_each_trouble_once_for_all_vfs_that_share_it() {
    let mut site =
        Site::new(Machine::profile(Profile::C62x).with(Change::AllVfsOn(Some("c6xxvf"))));
    let look = site.look();
    let lines = facts(&look, &NodeState::default(), &Ledger::default());
    let withheld: Vec<_> = lines
        .iter()
        .filter(|fact| fact.text.contains("16 VFs ("))
        .map(|fact| &fact.text)
        .collect();
    assert_eq!(withheld.len(), 3, "one line for each PF: {lines:#?}");
}
