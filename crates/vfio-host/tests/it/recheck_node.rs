//! Which node a recheck wants for a group, and what it makes of another one.

use std::fs;
use std::path::Path;

use sysfs_pci::fs as funnel;
use vfio_host::{DeviceNumbers, NodeError, NodeKind, Refusal, Usable};

use crate::tree::{Tree, address, group};

const A: &str = "0000:17:00.1";

fn good() -> Tree {
    let tree = Tree::new();
    tree.vfio_function(A, 320);
    tree
}

fn refusal(tree: &Tree) -> Refusal {
    tree.host()
        .recheck(address(A), Some(group(320)))
        .unwrap_err()
}

#[test]
fn a_node_that_is_missing_or_no_device() {
    let tree = good();
    let path = tree.dev_path("vfio/320");
    fs::remove_file(&path).unwrap();
    let missing = NodeError::Missing { path: path.clone() };
    assert_eq!(
        refusal(&tree),
        Refusal::Node {
            address: address(A),
            error: missing
        }
    );
    assert_eq!(
        refusal(&tree).to_string(),
        format!(
            "PCI function 0000:17:00.1 cannot be opened: the device node `{}` is missing; bind the \
             function again, and check that the device plugin sees the node's /dev/vfio",
            path.display()
        )
    );
    fs::create_dir(&path).unwrap();
    let other = NodeError::NotCharDevice { path };
    assert_eq!(
        refusal(&tree),
        Refusal::Node {
            address: address(A),
            error: other
        }
    );
}

#[test]
fn a_stale_node() {
    let tree = good();
    tree.write("class/vfio/320/dev", "243:7\n");
    let error = NodeError::WrongDevice {
        path: tree.dev_path("vfio/320"),
        found: DeviceNumbers { major: 1, minor: 3 },
        expected: DeviceNumbers {
            major: 243,
            minor: 7,
        },
    };
    assert_eq!(
        refusal(&tree),
        Refusal::Node {
            address: address(A),
            error
        }
    );
    let text = refusal(&tree).to_string();
    assert!(
        text.ends_with("remove this stale node and bind the function again"),
        "{text}"
    );
}

#[test]
fn a_node_that_the_kernel_does_not_know() {
    let tree = good();
    fs::remove_dir_all(tree.sys_path("class/vfio/320")).unwrap();
    let error = NodeError::Stale {
        path: tree.dev_path("vfio/320"),
    };
    assert_eq!(
        refusal(&tree),
        Refusal::Node {
            address: address(A),
            error
        }
    );
    assert_eq!(
        refusal(&tree).to_string(),
        format!(
            "PCI function 0000:17:00.1 cannot be opened: the device node `{}` is stale: the kernel \
             has no VFIO group of that name; remove this stale node and bind the function again",
            tree.dev_path("vfio/320").display()
        )
    );
}

/// A function in a group of its own that the kernel made without an IOMMU.
fn unconfined() -> Tree {
    let tree = Tree::new();
    tree.function(A)
        .bind(A, "vfio-pci")
        .join(A, 7)
        .node("vfio/noiommu-7");
    tree.write("kernel/iommu_groups/7/name", "vfio-noiommu\n");
    tree.write("class/vfio/noiommu-7/dev", "1:3\n");
    tree
}

fn recheck(tree: &Tree) -> Result<Usable, Refusal> {
    tree.host().recheck(address(A), Some(group(7)))
}

#[test]
fn without_an_iommu() {
    let tree = unconfined();
    let before = funnel::calls();
    let usable = recheck(&tree).unwrap();
    assert_eq!(funnel::calls() - before, 16);
    assert_eq!(usable.node.kind, NodeKind::NoIommuGroup);
    assert_eq!(usable.node.host_path, Path::new("/dev/vfio/noiommu-7"));
    assert_eq!(usable.node.container_path, Path::new("/dev/vfio/7"));
    tree.write("class/vfio/noiommu-7/dev", "243:0\n");
    assert!(matches!(
        recheck(&tree),
        Err(Refusal::Node {
            error: NodeError::WrongDevice { .. },
            ..
        })
    ));
}

#[test]
fn the_name_of_the_group_decides_which_node_it_is() {
    let tree = unconfined();
    tree.node("vfio/7");
    let usable = recheck(&tree).unwrap();
    assert_eq!(usable.node.kind, NodeKind::NoIommuGroup);

    // The stale node of a usual group does not stand in for the right one.
    fs::remove_file(tree.dev_path("vfio/noiommu-7")).unwrap();
    let path = tree.dev_path("vfio/noiommu-7");
    let missing = |path| Refusal::Node {
        address: address(A),
        error: NodeError::Missing { path },
    };
    assert_eq!(recheck(&tree), Err(missing(path)));

    // Nor the other way round.
    let tree = unconfined();
    fs::remove_file(tree.sys_path("kernel/iommu_groups/7/name")).unwrap();
    assert_eq!(recheck(&tree), Err(missing(tree.dev_path("vfio/7"))));
}
