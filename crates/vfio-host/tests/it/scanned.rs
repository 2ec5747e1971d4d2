//! What becomes of a scan: groups, and whether they say what a recheck would.

use std::fs;

use sysfs_pci::{Depth, PciId, fs as funnel, scan};
use vfio_host::{Group, VfioDrivers, Viability, groups};

use crate::tree::{Tree, address, group};

const A: &str = "0000:17:00.1";
const B: &str = "0000:17:00.2";

fn wanted(id: PciId) -> Depth {
    if id == PciId::new(0x8086, 0x1520) {
        Depth::Function
    } else {
        Depth::Identity
    }
}

/// A function that can be handed out, and another make in its group.
fn shared() -> Tree {
    let tree = Tree::new();
    tree.vfio_function(A, 320).function(B).join(B, 320);
    let modalias = "pci:v00001234d00005678sv00001234sd00000000bc02sc00i00\n";
    fs::write(tree.device_directory(B).join("modalias"), modalias).unwrap();
    tree
}

/// Replaces the link to the driver by something that cannot be read as one.
fn break_driver(tree: &Tree, function: &str) {
    let link = tree.device_directory(function).join("driver");
    if link.is_symlink() {
        fs::remove_file(&link).unwrap();
    }
    fs::write(link, "no link").unwrap();
}

fn scanned(tree: &Tree) -> Group {
    groups(&scan(&tree.sysfs(), &wanted).unwrap())
        .remove(&group(320))
        .unwrap()
}

fn viable(tree: &Tree) -> bool {
    scanned(tree).viability(&VfioDrivers::default()) == Viability::Viable
}

#[test]
fn a_neighbour_whose_driver_cannot_be_read_blocks() {
    let tree = shared();
    assert!(viable(&tree));
    break_driver(&tree, B);
    let Viability::Blocked { by } = scanned(&tree).viability(&VfioDrivers::default()) else {
        panic!("nobody knows what drives {B}");
    };
    let by: Vec<_> = by.iter().map(ToString::to_string).collect();
    assert_eq!(by, ["0000:17:00.2 (driver unreadable)"]);
}

#[test]
fn so_does_a_function_whose_driver_cannot_be_read() {
    let tree = Tree::new();
    tree.vfio_function(A, 320).function(B).join(B, 320);
    assert!(viable(&tree));
    break_driver(&tree, B);
    assert!(!viable(&tree));
}

#[test]
fn a_scan_and_a_recheck_agree_about_each_driver() {
    for (driver, vfio_dev, expected) in [
        (None, false, true),
        (Some("vfio-pci"), false, true),
        (Some("pcieport"), false, true),
        (Some("mlx5_vfio_pci"), true, true),
        (Some("mlx5_core"), false, false),
    ] {
        let tree = shared();
        if let Some(driver) = driver {
            tree.bind(B, driver);
        }
        if vfio_dev {
            fs::create_dir_all(tree.device_directory(B).join("vfio-dev/vfio3")).unwrap();
        }
        assert_eq!(viable(&tree), expected, "{driver:?}");
        let usable = tree.host().recheck(address(A), None);
        assert_eq!(usable.is_ok(), expected, "{driver:?}: {usable:?}");
    }
}

#[test]
fn only_names_that_say_too_little_cost_a_call() {
    let cost = |driver| {
        let tree = shared();
        tree.bind(B, driver);
        let before = funnel::calls();
        scan(&tree.sysfs(), &wanted).unwrap();
        funnel::calls() - before
    };
    assert_eq!(cost("pcieport"), cost("vfio-pci"));
    assert_eq!(cost("mlx5_vfio_pci"), cost("vfio-pci") + 1);
}
