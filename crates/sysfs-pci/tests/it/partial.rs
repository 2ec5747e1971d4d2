//! One broken function harms no other.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use sysfs_pci::{
    AttrError, Depth, NeighbourDriver, PciAddress, PciId, Role, Scanner, Snapshot, scan,
};

use crate::tree::{OTHER, Tree, VF, at, depth, vf};

/// Scans twice, fresh and with what is known, and wants the same both times.
fn look(tree: &Tree) -> Snapshot {
    let mut scanner = Scanner::new(tree.root());
    let first = scanner.scan(&depth).unwrap();
    assert_eq!(scanner.scan(&depth).unwrap(), first);
    first
}

fn failed(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.failures.iter().map(|f| f.name.as_str()).collect()
}

#[test]
fn garbage_in_modalias_fails_that_function_only() {
    let garbage: [&[u8]; 6] = [
        b"",
        b"\n",
        b"pci:",
        b"\xff\xfe\x00",
        b"0x8086",
        &[b'v'; 9000],
    ];
    for content in garbage {
        let tree = Tree::new().with_pf(0x3d, 16);
        let broken = vf(0x3d, 3);
        tree.write(broken, "modalias", content);
        let snapshot = look(&tree);
        assert_eq!(failed(&snapshot), [broken.to_string()]);
        assert_eq!(snapshot.failures[0].address, Some(broken));
        assert_eq!(snapshot.functions.len(), 16);
        assert!(!snapshot.functions.contains_key(&broken));
    }
}

#[test]
fn garbage_in_a_link_fails_that_function_only() {
    let cases = [
        ("driver", ".."),
        ("iommu_group", "../../../kernel/iommu_groups/many"),
        ("iommu_group", "../../../kernel/iommu_groups/-1"),
        ("iommu_group", "../../../kernel/iommu_groups/4294967296"),
        ("physfn", "../parent"),
    ];
    for (name, target) in cases {
        let tree = Tree::new().with_pf(0x3d, 16);
        let broken = vf(0x3d, 3);
        tree.link(broken, name, target);
        let snapshot = look(&tree);
        assert_eq!(
            failed(&snapshot),
            [broken.to_string()],
            "{name} -> {target}"
        );
        let AttrError::Invalid { path, value, .. } = &snapshot.failures[0].error else {
            panic!("{:?}", snapshot.failures)
        };
        assert!(path.ends_with(name));
        assert_eq!(value, target);
        assert_eq!(snapshot.functions.len(), 16);
    }
}

#[test]
fn a_file_where_a_link_should_be_fails_that_function_only() {
    for name in ["driver", "iommu_group", "physfn"] {
        let tree = Tree::new().with_pf(0x3d, 16);
        tree.unlink(vf(0x3d, 3), name);
        tree.write(vf(0x3d, 3), name, "text");
        let snapshot = look(&tree);
        assert_eq!(failed(&snapshot), [vf(0x3d, 3).to_string()], "{name}");
        assert_eq!(snapshot.functions.len(), 16);
    }
}

#[test]
fn garbage_in_the_numa_node_costs_only_the_numa_node() {
    for content in ["x", "-2\n", "4294967296\n", ""] {
        let tree = Tree::new().with_pf(0x3d, 2);
        tree.write(at("0000:3d:00.0"), "numa_node", content);
        let snapshot = look(&tree);
        assert_eq!(failed(&snapshot), ["0000:3d:00.0"], "{content:?}");
        assert_eq!(snapshot.functions.len(), 3);
        assert_eq!(snapshot.numa_node(vf(0x3d, 1)), None);
    }
}

#[test]
fn odd_virtfn_names_are_ignored_and_a_link_to_nothing_named_is_a_failure() {
    let tree = Tree::new().with_pf(0x3d, 2);
    let pf = at("0000:3d:00.0");
    for name in [
        "virtfnX",
        "virtfn-1",
        "virtfn99999999",
        "virtfn",
        "virtfn01",
    ] {
        tree.link(pf, name, "../0000:3d:07.0");
    }
    assert_eq!(look(&tree).failures, []);

    tree.link(pf, "virtfn5", "../garbage");
    let snapshot = look(&tree);
    assert_eq!(failed(&snapshot), ["0000:3d:00.0"]);
    let Role::Physical(sriov) = &snapshot.functions[&pf].role else {
        panic!("{snapshot:?}")
    };
    let vfs: Vec<_> = sriov.vfs.values().copied().collect();
    assert_eq!(vfs, [vf(0x3d, 0), vf(0x3d, 1)]);
}

#[test]
fn a_dangling_virtfn_still_names_its_target() {
    let tree = Tree::new().with_pf(0x3d, 4);
    let gone = vf(0x3d, 3);
    tree.remove(gone);
    let snapshot = look(&tree);
    assert_eq!(snapshot.vanished, [gone]);
    assert_eq!(snapshot.failures, []);
    let Role::Physical(sriov) = &snapshot.functions[&at("0000:3d:00.0")].role else {
        panic!("{snapshot:?}")
    };
    assert!(sriov.vfs.values().any(|vf| *vf == gone));
}

#[test]
fn junk_in_the_listing_is_named_and_harmless() {
    let tree = Tree::new().with_pf(0x3d, 2);
    fs::write(tree.entry("README"), "").unwrap();
    fs::write(tree.entry("0000:09:00.0"), "a file").unwrap();
    symlink("nowhere", tree.entry("3d:00.0")).unwrap();
    let raw = OsStr::from_bytes(b"\xff\xfe");
    symlink("nowhere", tree.entry("x").with_file_name(raw)).unwrap();
    let snapshot = look(&tree);
    assert_eq!(
        failed(&snapshot),
        ["0000:09:00.0", "3d:00.0", "README", "\u{fffd}\u{fffd}"]
    );
    assert_eq!(snapshot.functions.len(), 3);
}

#[test]
fn a_neighbour_with_a_broken_driver_link_is_not_taken_for_driverless() {
    let tree = Tree::new().with_pf(0x3d, 1);
    tree.add("0000:3d:03.0", OTHER);
    tree.group(at("0000:3d:03.0"), 77);
    tree.group(vf(0x3d, 0), 77);
    tree.link(at("0000:3d:03.0"), "driver", "..");
    let snapshot = look(&tree);
    assert_eq!(failed(&snapshot), ["0000:3d:03.0"]);
    let neighbour = &snapshot.neighbours[&at("0000:3d:03.0")];
    assert_eq!(neighbour.driver, NeighbourDriver::Unreadable);
    assert_eq!(snapshot.functions.len(), 2);
}

#[test]
fn a_function_that_cannot_be_read_is_still_a_neighbour() {
    let tree = Tree::new().with_pf(0x3d, 2);
    let broken = vf(0x3d, 1);
    tree.group(vf(0x3d, 0), 77);
    tree.group(broken, 77);
    tree.link(broken, "driver", "..");
    let snapshot = look(&tree);
    assert_eq!(failed(&snapshot), [broken.to_string()]);
    let neighbour = &snapshot.neighbours[&broken];
    assert_eq!(neighbour.driver, NeighbourDriver::Unreadable);
    assert_eq!(neighbour.iommu_group.unwrap().get(), 77);

    // Its group is read each time, as that of a function.
    let mut scanner = Scanner::new(tree.root());
    scanner.scan(&depth).unwrap();
    tree.group(broken, 78);
    let neighbour = &scanner.scan(&depth).unwrap().neighbours[&broken];
    assert_eq!(neighbour.iommu_group.unwrap().get(), 78);
    assert_eq!(neighbour.driver, NeighbourDriver::NotRead);
}

/// Unplugs each function after it was identified, on the given scan.
fn unplug_in_the_middle(victim: PciAddress, tree: &Tree, scans_before: usize) {
    let mut scanner = Scanner::new(tree.root());
    for _ in 0..scans_before {
        assert!(
            scanner
                .scan(&depth)
                .unwrap()
                .functions
                .contains_key(&victim)
        );
    }
    let id = scan(&tree.root(), &depth).unwrap().functions[&victim].id;
    let unplugged = Cell::new(false);
    let snapshot = scanner
        .scan(&|seen: PciId| {
            if seen == id && !unplugged.replace(true) {
                tree.remove(victim);
            }
            depth(seen)
        })
        .unwrap();
    assert_eq!(snapshot.vanished, [victim]);
    assert_eq!(snapshot.failures, []);
    assert!(!snapshot.functions.contains_key(&victim));
}

#[test]
fn a_function_that_goes_while_it_is_read_has_vanished() {
    for scans_before in 0..3 {
        // The first function with its id in the order of the scan is the one that is unplugged.
        let tree = Tree::new().with_pf(0x3d, 3);
        unplug_in_the_middle(vf(0x3d, 0), &tree, scans_before);
        let tree = Tree::new().with_pf(0x3d, 3);
        unplug_in_the_middle(at("0000:3d:00.0"), &tree, scans_before);
        let tree = Tree::new();
        tree.add("0000:05:00.0", VF);
        unplug_in_the_middle(at("0000:05:00.0"), &tree, scans_before);
    }
}

#[test]
fn a_physical_function_that_loses_its_attributes_is_dying() {
    let tree = Tree::new().with_pf(0x3d, 0);
    let pf = at("0000:3d:00.0");
    let snapshot = scan(&tree.root(), &|id| {
        tree.unlink(pf, "modalias");
        depth(id)
    });
    assert_eq!(snapshot.unwrap().vanished, [pf]);
}

#[test]
fn a_failure_tells_the_function_and_its_source_the_file() {
    let tree = Tree::new();
    tree.add("0000:05:00.0", VF);
    tree.write(at("0000:05:00.0"), "modalias", "no\u{1b}pe\n");
    let snapshot = scan(&tree.root(), &|_| Depth::Function).unwrap();
    let failure = &snapshot.failures[0];
    assert_eq!(
        failure.to_string(),
        "PCI function `0000:05:00.0` cannot be read"
    );
    // The whole path, though the scan reads relative to the directory of the bus.
    assert_eq!(
        failure.error.path(),
        tree.entry("0000:05:00.0").join("modalias")
    );
    let error = failure.error.to_string();
    assert!(error.contains(r"`no\u{1b}pe`"), "{error}");
}
