//! Law 5: a VF that was advertised once is never dropped.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use node_sim::{Change, Machine, Profile};
use qat_node::{Looker, NodeState, Verdict, facts, judge};
use qat_policy::PoolName;
use sysfs_pci::PciAddress;

use crate::machine::Site;

fn cy() -> PoolName {
    PoolName::try_new("cy").unwrap()
}

fn reason(state: &NodeState, vf: PciAddress) -> Option<String> {
    match &state.pools[&cy()][&vf].verdict {
        Verdict::Healthy => None,
        Verdict::Unhealthy { reason } => Some(reason.clone()),
    }
}

#[test]
fn a_vf_that_goes_away_stays_listed_and_heals() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let vf = site.node.vfs()[0];
    let first = judge(&NodeState::default(), &site.look());
    assert_eq!(first.pools.len(), 2);
    assert_eq!(first.advertised().len(), 64);
    assert_eq!(reason(&first, vf), None);

    site.node.unplug(vf).unwrap();
    let second = judge(&first, &site.look());
    assert_eq!(second.advertised(), first.advertised());
    assert_eq!(reason(&second, vf).as_deref(), Some("it is gone"));

    site.node.replug(vf).unwrap();
    assert_eq!(judge(&second, &site.look()), first);
}

#[test]
fn a_vf_that_loses_its_driver_or_node_is_unhealthy_with_the_reason() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let (unbound, nodeless) = (site.node.vfs()[1], site.node.vfs()[2]);
    let first = judge(&NodeState::default(), &site.look());
    site.node.unbind(unbound).unwrap();
    site.node
        .remove_node(site.node.group_of(nodeless).unwrap())
        .unwrap();
    let second = judge(&first, &site.look());
    assert!(reason(&second, unbound).unwrap().contains("no driver"));
    assert!(reason(&second, nodeless).unwrap().contains("/dev/vfio/"));
    let unhealthy = second.pools[&cy()]
        .values()
        .filter(|vf| vf.verdict != Verdict::Healthy);
    assert_eq!(unhealthy.count(), 2, "one broken VF harms no other");
}

#[test]
fn a_vf_whose_services_change_stays_in_its_old_pool_unhealthy() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let pf = site.node.pfs()[0];
    let first = judge(&NodeState::default(), &site.look());
    site.node.set_services(pf, "dc").unwrap();
    let second = judge(&first, &site.look());
    for vf in site.node.vfs_of(pf) {
        assert_eq!(
            reason(&second, vf).as_deref(),
            Some("it is in pool `dc` now")
        );
    }
    assert_eq!(second.pools[&PoolName::try_new("dc").unwrap()].len(), 48);
}

#[test]
fn a_cap_keeps_those_that_were_advertised() {
    let vfs = Machine::profile(Profile::C62x).vfs();
    let machine = Machine::profile(Profile::C62x).with(Change::Driver {
        address: vfs[0],
        driver: None,
    });
    let mut site = Site::new(machine);
    site.settings.cap = NonZeroUsize::new(4);
    let mut looker = Looker::new(&site.settings.roots, site.settings.rules());
    let first = judge(
        &NodeState::default(),
        &looker.look(&BTreeSet::new()).unwrap(),
    );
    let expected: BTreeSet<_> = vfs[1..5].iter().copied().collect();
    assert_eq!(first.advertised(), expected);
    // The lowest address comes late: it must not push out a VF that a pod may hold.
    site.node.bind(vfs[0], "vfio-pci").unwrap();
    let look = looker.look(&first.advertised()).unwrap();
    assert_eq!(judge(&first, &look), first);
}

#[test]
fn the_same_state_gives_the_same_list() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxxTwoSockets));
    let first = judge(&NodeState::default(), &site.look());
    let again = judge(&first, &site.look());
    assert_eq!(first, again);
    assert_eq!(
        first.device_set(&cy()).unwrap(),
        again.device_set(&cy()).unwrap()
    );
    let look = site.look();
    assert_eq!(facts(&look, &first), facts(&look, &again));
}

#[test]
fn the_log_names_each_trouble_once_for_all_vfs_that_share_it() {
    let mut site =
        Site::new(Machine::profile(Profile::C62x).with(Change::AllVfsOn(Some("c6xxvf"))));
    let look = site.look();
    let lines = facts(&look, &NodeState::default());
    let withheld: Vec<_> = lines
        .iter()
        .filter(|fact| fact.text.contains("16 VFs ("))
        .map(|fact| &fact.text)
        .collect();
    assert_eq!(withheld.len(), 3, "one line for each PF: {lines:#?}");
}
