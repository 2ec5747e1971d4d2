//! The budget of system calls, and what makes a scan read again.

use std::sync::mpsc::channel;
use std::thread::spawn;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use sysfs_pci::{PciAddress, Role, Scanner, fs::calls};

use crate::tree::{OTHER, Tree, VF, at, depth, vf};

const PFS: u64 = 2;
const VFS: u64 = 32;
const OTHERS: u64 = 50;

/// Two physical functions with sixteen virtual functions each, and fifty others.
fn machine() -> Tree {
    let tree = Tree::new().with_pf(0x3d, 16).with_pf(0x3f, 16);
    for index in 0..50 {
        let other = PciAddress::new(0, 0x80, index / 2, index % 2).unwrap();
        tree.add(&other.to_string(), OTHER);
        tree.group(other, 500 + u32::from(index));
    }
    tree
}

fn cost(scanner: &mut Scanner) -> u64 {
    let before = calls();
    let snapshot = scanner.scan(&depth).unwrap();
    assert_eq!(snapshot.failures, []);
    calls() - before
}

#[test]
fn the_first_scan_keeps_the_budget() {
    let tree = machine();
    let cost = cost(&mut Scanner::new(tree.root()));
    let budget = 20 + 12 * PFS + 7 * VFS + 4 * OTHERS;
    assert!(cost <= budget, "{cost} calls, {budget} allowed");
}

#[test]
fn later_scans_cost_less_and_nothing_for_others() {
    let tree = machine();
    let mut scanner = Scanner::new(tree.root());
    cost(&mut scanner);
    for _ in 0..3 {
        let cost = cost(&mut scanner);
        let budget = 4 + 6 * PFS + 4 * VFS;
        assert!(cost <= budget, "{cost} calls, {budget} allowed");
    }
}

#[test]
fn functions_on_their_own_keep_what_the_documentation_says() {
    let tree = Tree::new();
    tree.add("0000:05:00.0", VF);
    let mut scanner = Scanner::new(tree.root());
    assert_eq!(cost(&mut scanner), 4 + 9);
    assert_eq!(cost(&mut scanner), 4 + 4);
}

#[test]
fn a_shared_group_costs_one_more_call() {
    let tree = Tree::new().with_pf(0x3d, 1);
    tree.add("0000:3d:03.0", OTHER);
    tree.group(at("0000:3d:03.0"), 9);
    let mut scanner = Scanner::new(tree.root());
    cost(&mut scanner);
    let alone = cost(&mut scanner);
    tree.group(vf(0x3d, 0), 9);
    assert_eq!(cost(&mut scanner), alone + 1);
    for (driver, more) in [
        ("vfio-pci", 1),
        ("pcieport", 1),
        ("pci-stub", 1),
        ("odd", 2),
    ] {
        let target = format!("../../../bus/pci/drivers/{driver}");
        tree.link(at("0000:3d:03.0"), "driver", &target);
        assert_eq!(cost(&mut scanner), alone + more, "{driver}");
    }
}

#[test]
fn a_neighbour_without_group_is_asked_twice_and_never_again() {
    let tree = Tree::new();
    let other = at("0000:80:00.0");
    tree.add("0000:80:00.0", OTHER);
    let mut scanner = Scanner::new(tree.root());
    let costs: Vec<_> = (0..4).map(|_| cost(&mut scanner)).collect();
    assert_eq!(costs, [4 + 4, 4 + 1, 4, 4]);

    // One that is listed before the kernel has given it a group is not forgotten.
    let mut scanner = Scanner::new(tree.root());
    cost(&mut scanner);
    tree.group(other, 7);
    let snapshot = scanner.scan(&depth).unwrap();
    assert_eq!(snapshot.neighbours[&other].iommu_group.unwrap().get(), 7);
}

#[test]
fn what_cannot_change_is_read_again_when_the_entry_is_another_one() {
    let tree = Tree::new().with_pf(0x3d, 1);
    tree.add("0000:80:00.0", OTHER);
    let (other, pf) = (at("0000:80:00.0"), at("0000:3d:00.0"));
    tree.group(other, 500);
    let mut scanner = Scanner::new(tree.root());
    let before = scanner.scan(&depth).unwrap();

    // A living function does not change; what a test changes behind its back is not seen.
    let line = "pci:v0000144Dd0000A824sv0000144Dsd00000000bc01sc08i02\n";
    tree.write(other, "modalias", line);
    tree.group(other, 501);
    tree.write(pf, "numa_node", "0\n");
    assert_eq!(scanner.scan(&depth).unwrap(), before);

    tree.renew(other);
    tree.renew(pf);
    let after = scanner.scan(&depth).unwrap();
    assert_eq!(after.neighbours[&other].id.to_string(), "144d:a824");
    assert_eq!(after.neighbours[&other].iommu_group.unwrap().get(), 501);
    assert_eq!(after.numa_node(vf(0x3d, 0)).unwrap().get(), 0);
}

#[test]
fn what_can_change_is_read_each_time() {
    let tree = Tree::new().with_pf(0x3d, 2);
    let function = vf(0x3d, 1);
    let mut scanner = Scanner::new(tree.root());
    scanner.scan(&depth).unwrap();

    tree.link(function, "driver", "../../../bus/pci/drivers/igbvf");
    tree.group(function, 4000);
    tree.unlink(at("0000:3d:00.0"), "virtfn0");
    let snapshot = scanner.scan(&depth).unwrap();
    let seen = &snapshot.functions[&function];
    assert_eq!(seen.driver.as_ref().unwrap().as_str(), "igbvf");
    assert_eq!(seen.iommu_group.unwrap().get(), 4000);
    let unlinked = &snapshot.functions[&vf(0x3d, 0)].role;
    assert!(matches!(unlinked, Role::Virtual { index: None, .. }));
}

/// Files that can block behind a stuck unbind: a scan that opened one of these would see it here.
#[test]
fn a_scan_never_opens_what_can_block() {
    let tree = Tree::new().with_pf(0x3d, 2);
    for address in [at("0000:3d:00.0"), vf(0x3d, 0), vf(0x3d, 1)] {
        for name in ["driver_override", "uevent", "sriov_numvfs"] {
            // A fifo without a writer blocks whoever opens it to read.
            let path = tree.entry(&address.to_string()).join(name);
            mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        }
    }
    let (done, ended) = channel();
    let root = tree.root();
    spawn(move || done.send(Scanner::new(root).scan(&depth)));
    let snapshot = ended
        .recv_timeout(Duration::from_secs(10))
        .expect("the scan opened an attribute that can block");
    assert_eq!(snapshot.unwrap().functions.len(), 3);
}
