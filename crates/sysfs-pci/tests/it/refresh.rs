//! Looking again at some functions: the result is that of a scan, and what it costs does not depend on the others.

use std::collections::BTreeSet;
use std::fs;

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};
use sysfs_pci::{PciAddress, Scanner, Snapshot, fs as funnel, scan};

use crate::tree::{OTHER, PF, Tree, VF, at, depth, vf};

const BUS: u8 = 0x3d;
const VFS: u16 = 4;

/// Something that happens to a machine.
#[derive(Clone, Debug)]
enum Change {
    Bind(u16, &'static str),
    Unbind(u16),
    Remove(u16),
    Make(u16),
    Replace(u16),
    MoveToGroup(u16, u32),
    NeighbourDriver(Option<&'static str>),
    NeighbourGroup(u32),
    Garbage(u16),
}

fn change() -> impl Strategy<Value = Change> {
    let vf = 0..VFS;
    let driver = prop_oneof![Just("vfio-pci"), Just("igbvf"), Just("a/")];
    prop_oneof![
        (vf.clone(), driver).prop_map(|(vf, driver)| Change::Bind(vf, driver)),
        vf.clone().prop_map(Change::Unbind),
        vf.clone().prop_map(Change::Remove),
        vf.clone().prop_map(Change::Make),
        vf.clone().prop_map(Change::Replace),
        (vf.clone(), 1000_u32..1003).prop_map(|(vf, group)| Change::MoveToGroup(vf, group)),
        prop_oneof![Just(None), Just(Some("ahci")), Just(Some("pcieport"))]
            .prop_map(Change::NeighbourDriver),
        (999_u32..1003).prop_map(Change::NeighbourGroup),
        vf.prop_map(Change::Garbage),
    ]
}

fn neighbour() -> PciAddress {
    at("0000:00:1f.0")
}

/// Makes a change, if it makes sense now, and says of which functions the kernel would tell.
fn apply(tree: &Tree, change: &Change) -> Vec<PciAddress> {
    let pf = at("0000:3d:00.0");
    let there = |vf: PciAddress| tree.entry(&vf.to_string()).symlink_metadata().is_ok();
    let driver = |name: &str| format!("../../../bus/pci/drivers/{name}");
    match *change {
        Change::Make(index) if !there(vf(BUS, index)) => {
            let one = vf(BUS, index);
            tree.add(&one.to_string(), VF);
            tree.group(one, 1000 + u32::from(index));
            tree.link(one, "physfn", &format!("../{pf}"));
            tree.link(pf, &format!("virtfn{index}"), &format!("../{one}"));
            // The kernel tells of the PF when it has made all.
            vec![pf]
        }
        Change::NeighbourDriver(name) => {
            match name {
                Some(name) => tree.link(neighbour(), "driver", &driver(name)),
                None => drop(fs::remove_file(tree.path(neighbour(), "driver"))),
            }
            vec![neighbour()]
        }
        Change::NeighbourGroup(group) => {
            // The group of a function that nobody looks at closely is read once in its life.
            tree.renew(neighbour());
            tree.group(neighbour(), group);
            vec![neighbour()]
        }
        Change::Bind(index, _)
        | Change::Unbind(index)
        | Change::Remove(index)
        | Change::Make(index)
        | Change::Replace(index)
        | Change::MoveToGroup(index, _)
        | Change::Garbage(index) => {
            let one = vf(BUS, index);
            if !there(one) {
                return Vec::new();
            }
            match *change {
                Change::Bind(_, name) => tree.link(one, "driver", &driver(name)),
                Change::Unbind(_) => drop(fs::remove_file(tree.path(one, "driver"))),
                Change::MoveToGroup(_, group) => tree.group(one, group),
                Change::Replace(_) => tree.renew(one),
                Change::Garbage(_) => {
                    tree.renew(one);
                    tree.write(one, "modalias", "pci:?\n");
                }
                Change::Remove(_) => {
                    tree.remove(one);
                    tree.bury(one);
                    tree.unlink(pf, &format!("virtfn{index}"));
                    return vec![one, pf];
                }
                _ => {}
            }
            vec![one]
        }
    }
}

fn machine() -> Tree {
    let tree = Tree::new().with_pf(BUS, VFS).with_pf(0x40, 2);
    tree.add(&neighbour().to_string(), OTHER);
    tree.group(neighbour(), 999);
    tree
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_refresh_sees_what_a_scan_sees(changes in vec(vec(change(), 1..4), 1..12)) {
        let tree = machine();
        let mut scanner = Scanner::new(tree.root());
        let mut snapshot = scanner.scan(&depth).unwrap();
        for batch in changes {
            let touched: BTreeSet<PciAddress> =
                batch.iter().flat_map(|change| apply(&tree, change)).collect();
            scanner.refresh(&mut snapshot, &touched, &depth).unwrap();
            prop_assert_eq!(&snapshot, &scan(&tree.root(), &depth).unwrap(), "after {:?}", batch);
        }
    }
}

/// What a refresh of one virtual function costs among so many.
fn cost(vfs: u16) -> u64 {
    let tree = Tree::new().with_pf(BUS, vfs);
    let mut scanner = Scanner::new(tree.root());
    let mut snapshot = scanner.scan(&depth).unwrap();
    let before = funnel::calls();
    scanner
        .refresh(&mut snapshot, &BTreeSet::from([vf(BUS, 1)]), &depth)
        .unwrap();
    funnel::calls() - before
}

#[test]
fn the_others_cost_nothing() {
    assert_eq!(cost(4), 6, "open, lstat, driver, group, physfn, close");
    assert_eq!(cost(64), 6);
}

#[test]
fn a_bus_that_is_gone_changes_nothing() {
    let tree = machine();
    let mut scanner = Scanner::new(tree.root());
    let mut snapshot = scanner.scan(&depth).unwrap();
    let before = snapshot.clone();
    fs::remove_dir_all(tree.root().pci_devices()).unwrap();
    scanner
        .refresh(&mut snapshot, &BTreeSet::from([vf(BUS, 1)]), &depth)
        .unwrap_err();
    assert_eq!(snapshot, before);
}

#[test]
fn a_function_of_which_nothing_is_known_is_no_function() {
    let tree = machine();
    let mut scanner = Scanner::new(tree.root());
    let mut snapshot = Snapshot::default();
    let nobody = BTreeSet::from([at("0000:77:00.0"), at("0000:3d:00.0")]);
    scanner.refresh(&mut snapshot, &nobody, &depth).unwrap();
    let found: Vec<_> = snapshot.functions.values().map(|one| one.id).collect();
    let pf_and_vfs = [[PF].as_slice(), &[VF; 4]].concat();
    assert_eq!(found, pf_and_vfs, "its links lead to its VFs");
}
