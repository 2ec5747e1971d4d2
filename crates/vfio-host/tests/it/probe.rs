use std::cell::Cell;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;

use vfio_host::{Group, GroupFile, NodeError, ProbeError, probe};

use crate::tree::{Tree, address, group};

const A: &str = "0000:17:00.1";
const B: &str = "0000:17:00.2";

fn good() -> Tree {
    let tree = Tree::new();
    tree.vfio_function(A, 320);
    tree
}

/// Asks about group 320, and whether the caller was asked who holds it.
fn ask(tree: &Tree) -> (ProbeError, bool) {
    let asked = Cell::new(false);
    let answer = tree.host().probe_group(group(320), |_| {
        asked.set(true);
        None
    });
    (answer.unwrap_err(), asked.get())
}

#[test]
fn a_device_that_is_not_vfio_s_is_told_apart() {
    let tree = good();
    let error = probe(&tree.dev()).unwrap_err();
    assert!(
        matches!(&error, ProbeError::NotVfio { path } if *path == tree.dev_path("vfio/vfio")),
        "{error:?}"
    );
    let (error, asked) = ask(&tree);
    assert!(
        matches!(&error, ProbeError::NotVfio { path } if *path == tree.dev_path("vfio/320")),
        "{error:?}"
    );
    assert!(asked);
}

#[test]
fn nodes_that_are_missing_or_no_devices() {
    let tree = good();
    for node in ["vfio/vfio", "vfio/320"] {
        fs::remove_file(tree.dev_path(node)).unwrap();
    }
    for error in [probe(&tree.dev()).unwrap_err(), ask(&tree).0] {
        let missing = matches!(error, ProbeError::Node(NodeError::Missing { .. }));
        assert!(missing, "{error:?}");
    }
    fs::write(tree.dev_path("vfio/320"), "").unwrap();
    let (error, asked) = ask(&tree);
    assert!(
        matches!(error, ProbeError::Node(NodeError::NotCharDevice { .. })),
        "{error:?}"
    );
    assert!(!asked);
}

#[test]
fn a_stale_node_is_not_opened() {
    let tree = good();
    fs::remove_dir_all(tree.sys_path("class/vfio/320")).unwrap();
    let (error, asked) = ask(&tree);
    assert!(
        matches!(error, ProbeError::Node(NodeError::Stale { .. })),
        "{error:?}"
    );
    assert!(!asked);
}

#[test]
fn a_group_with_an_open_member_is_left_alone() {
    let tree = good();
    tree.function(B).bind(B, "vfio-pci").join(B, 320);
    fs::write(tree.device_directory(B).join("enable"), "1\n").unwrap();
    // An open would end in `NotVfio`.
    let (error, asked) = ask(&tree);
    assert!(
        matches!(error, ProbeError::Open { member, .. } if member == address(B)),
        "{error:?}"
    );
    assert!(error.is_in_use() && !asked);
}

#[test]
fn a_member_that_its_kernel_driver_has_enabled_is_not_open() {
    let tree = good();
    tree.function(B).bind(B, "pcieport").join(B, 320);
    fs::write(tree.device_directory(B).join("enable"), "1\n").unwrap();
    assert!(matches!(ask(&tree).0, ProbeError::NotVfio { .. }));
}

#[test]
fn a_member_that_does_not_say_whether_it_is_open_counts_as_open() {
    let tree = good();
    fs::write(tree.device_directory(A).join("enable"), "perhaps\n").unwrap();
    let (error, asked) = ask(&tree);
    assert!(matches!(error, ProbeError::Enable { .. }), "{error:?}");
    assert!(!asked);
}

#[test]
fn a_group_that_somebody_holds_is_left_alone() {
    let tree = good();
    tree.function(B).bind(B, "vfio-pci").join(B, 320);
    let members = |group: &Group| -> Vec<_> {
        let members = group.members.iter();
        members.map(|member| member.name.clone()).collect()
    };
    let answer = tree.host().probe_group(group(320), |group| {
        assert_eq!(members(group), [A, B]);
        Some("pod ns/p holds 0000:17:00.2".to_owned())
    });
    let error = answer.unwrap_err();
    assert_eq!(
        error.to_string(),
        "IOMMU group 320 was not asked: pod ns/p holds 0000:17:00.2"
    );
    assert!(error.is_in_use());
}

#[test]
fn the_node_of_a_group_without_iommu_is_the_other_one() {
    let tree = Tree::new();
    tree.function(A).bind(A, "vfio-pci").join(A, 7);
    tree.write("kernel/iommu_groups/7/name", "vfio-noiommu\n");
    tree.write("class/vfio/noiommu-7/dev", "1:3\n");
    symlink("/dev/null", tree.dev_path("vfio/noiommu-7")).unwrap();
    let error = tree.host().probe_group(group(7), |_| None).unwrap_err();
    assert!(
        matches!(&error, ProbeError::NotVfio { path } if *path == tree.dev_path("vfio/noiommu-7")),
        "{error:?}"
    );
}

#[test]
fn a_group_that_does_not_exist() {
    let error = good().host().probe_group(group(1), |_| None).unwrap_err();
    assert!(matches!(error, ProbeError::Group { .. }), "{error:?}");
    assert!(!error.is_in_use());
}

#[test]
fn a_node_that_is_missing_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("320");
    let error = GroupFile::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!path.exists());
}
