//! A look at a part sees what a look at everything sees, and costs as much for eight VFs as for many.

use std::collections::BTreeSet;

use node_sim::{Machine, Profile};
use qat_node::Looker;
use qat_node::hints::Scope;
use sysfs_pci::PciAddress;

use crate::machine::Site;

/// Looks at a part, and compares with a fresh look at everything.
fn check(site: &mut Site, scope: &Scope) {
    let none = BTreeSet::new();
    let part = site.looker.look_at(scope, &none).unwrap();
    assert!(part.partial);
    let mut fresh = Looker::new(&site.settings.roots, site.settings.rules());
    let whole = fresh.look(&none).unwrap();
    assert_eq!(part.inventory, whole.inventory);
    assert_eq!(part.failures, whole.failures);
}

fn scope(functions: &[PciAddress]) -> Scope {
    let mut scope = Scope::default();
    for function in functions {
        scope.add(Scope::function(*function));
    }
    scope
}

#[test]
fn a_part_is_as_true_as_the_whole() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    site.look();
    let (pf, vf) = (site.node.pfs()[0], site.node.vfs()[0]);
    let group = site.node.group_of(vf).unwrap();

    site.node.unbind(vf).unwrap();
    check(&mut site, &scope(&[vf]));
    site.node.bind(vf, "vfio-pci").unwrap();
    check(&mut site, &scope(&[vf]));
    site.node.remove_node(group).unwrap();
    check(&mut site, &Scope::group(group));
    site.node.add_node(group).unwrap();
    check(&mut site, &Scope::group(group));

    // As the kernel tells of it: each VF, then the PF; and of new VFs perhaps the PF alone is heard.
    let mut gone = site.node.vfs_of(pf);
    site.node.disable_sriov(pf).unwrap();
    gone.push(pf);
    check(&mut site, &scope(&gone));
    site.node.enable_sriov(pf).unwrap();
    check(&mut site, &scope(&[pf]));
    site.node.unplug(pf).unwrap();
    check(&mut site, &scope(&gone));
    site.node.replug(pf).unwrap();
    check(&mut site, &scope(&[pf]));
}

#[test]
fn what_a_hint_costs_does_not_grow_with_the_vfs() {
    let cost = |vfs| {
        let mut site = Site::new(Machine::profile(Profile::Scale { pfs: 2, vfs }));
        site.look();
        let vf = site.node.vfs()[0];
        let look = site.looker.look_at(&scope(&[vf]), &BTreeSet::new());
        look.unwrap().calls
    };
    assert_eq!(cost(8), cost(64));
    assert_eq!(
        cost(8),
        8,
        "the function, its group's node, the control node"
    );
}

#[test]
fn a_verdict_of_a_pf_costs_one_call() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    site.look();
    let look = site.looker.look_at(&Scope::default(), &BTreeSet::new());
    assert_eq!(look.unwrap().calls, 1, "the control node");
}
