use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use sysfs_pci::fs as funnel;
use vfio_host::{NodeError, NodeKind, cdev_node, control_node, group_node};

use crate::tree::{Tree, address, group};

const A: &str = "0000:17:00.1";

#[test]
fn the_control_node_takes_one_call() {
    let tree = Tree::new();
    let before = funnel::calls();
    let node = control_node(&tree.dev()).unwrap();
    assert_eq!(funnel::calls() - before, 1);
    assert_eq!(node.kind, NodeKind::Control);
    assert_eq!(node.host_path, Path::new("/dev/vfio/vfio"));
    assert_eq!(node.container_path, node.host_path);
}

#[test]
fn a_group_node_takes_one_call() {
    let tree = Tree::new();
    tree.node("vfio/320");
    let before = funnel::calls();
    let node = group_node(&tree.dev(), group(320)).unwrap();
    assert_eq!(funnel::calls() - before, 1);
    assert_eq!(node.kind, NodeKind::Group);
    assert_eq!(node.host_path, Path::new("/dev/vfio/320"));
    assert_eq!(node.container_path, node.host_path);
}

#[test]
fn without_an_iommu_the_node_has_another_name_in_a_container() {
    let tree = Tree::new();
    tree.node("vfio/noiommu-7");
    let before = funnel::calls();
    let node = group_node(&tree.dev(), group(7)).unwrap();
    assert_eq!(funnel::calls() - before, 2);
    assert_eq!(node.kind, NodeKind::NoIommuGroup);
    assert_eq!(node.host_path, Path::new("/dev/vfio/noiommu-7"));
    assert_eq!(node.container_path, Path::new("/dev/vfio/7"));
}

#[test]
fn a_node_that_is_not_there_is_missing() {
    let tree = Tree::new();
    let path = tree.dev_path("vfio/320");
    assert_eq!(
        group_node(&tree.dev(), group(320)),
        Err(NodeError::Missing { path: path.clone() })
    );
    // A link without a target is no node either.
    symlink("nowhere", &path).unwrap();
    assert_eq!(
        group_node(&tree.dev(), group(320)),
        Err(NodeError::Missing { path: path.clone() })
    );
    fs::remove_dir_all(tree.dev_path("vfio")).unwrap();
    assert_eq!(
        group_node(&tree.dev(), group(320)),
        Err(NodeError::Missing { path })
    );
    let path = tree.dev_path("vfio/vfio");
    assert_eq!(control_node(&tree.dev()), Err(NodeError::Missing { path }));
}

#[test]
fn only_a_character_device_is_a_node() {
    let tree = Tree::new();
    for relative in ["vfio/320", "vfio/noiommu-321"] {
        fs::create_dir(tree.dev_path(relative)).unwrap();
    }
    fs::write(tree.dev_path("vfio/322"), "").unwrap();
    for (number, relative) in [
        (320, "vfio/320"),
        (321, "vfio/noiommu-321"),
        (322, "vfio/322"),
    ] {
        let path = tree.dev_path(relative);
        assert_eq!(
            group_node(&tree.dev(), group(number)),
            Err(NodeError::NotCharDevice { path })
        );
    }
}

#[test]
fn junk_beside_the_nodes_does_not_matter() {
    let tree = Tree::new();
    tree.node("vfio/320")
        .node("vfio/devices/vfio0")
        .node("vfio/noiommu-")
        .node("vfio/0320");
    fs::create_dir(tree.dev_path("vfio/junk")).unwrap();
    fs::write(tree.dev_path("vfio/320~"), "").unwrap();
    assert_eq!(
        group_node(&tree.dev(), group(320)).unwrap().kind,
        NodeKind::Group
    );
    assert!(matches!(
        group_node(&tree.dev(), group(0)),
        Err(NodeError::Missing { .. })
    ));
}

#[test]
fn what_cannot_be_looked_at_says_why() {
    let tree = Tree::new();
    let path = tree.dev_path("vfio/320");
    symlink("320", &path).unwrap();
    let Err(NodeError::Unreadable {
        path: named,
        reason,
    }) = group_node(&tree.dev(), group(320))
    else {
        panic!("a link to itself");
    };
    assert_eq!(named, path);
    assert!(reason.contains("symbolic links"), "{reason}");
}

fn cdev(tree: &Tree, dev: Option<&str>) {
    let directory = format!("devices/pci0000:17/{A}/vfio-dev");
    tree.write(&format!("{directory}/vfio3/uevent"), "");
    tree.write(&format!("{directory}/power/control"), "auto\n");
    if let Some(dev) = dev {
        tree.write(&format!("{directory}/vfio3/dev"), dev);
    }
}

#[test]
fn a_cdev_needs_its_directory_its_numbers_and_its_node() {
    let tree = Tree::new();
    tree.vfio_function(A, 320);
    let look = || cdev_node(&tree.sysfs(), &tree.dev(), address(A));
    assert_eq!(look(), Ok(None));
    cdev(&tree, None);
    assert_eq!(look(), Ok(None));
    tree.node("vfio/devices/vfio4");
    cdev(&tree, Some("1:3\n"));
    assert_eq!(look(), Ok(None));
    tree.node("vfio/devices/vfio3");
    let before = funnel::calls();
    let node = look().unwrap().unwrap();
    assert_eq!(funnel::calls() - before, 4 + 3 + 1);
    assert_eq!(node.kind, NodeKind::Cdev);
    assert_eq!(node.host_path, Path::new("/dev/vfio/devices/vfio3"));
    assert_eq!(node.container_path, node.host_path);
    assert_eq!(
        cdev_node(&tree.sysfs(), &tree.dev(), address("0000:17:00.2")),
        Ok(None)
    );
}

#[test]
fn a_cdev_of_another_device_is_an_error() {
    let tree = Tree::new();
    tree.vfio_function(A, 320).node("vfio/devices/vfio3");
    let look = || cdev_node(&tree.sysfs(), &tree.dev(), address(A));
    cdev(&tree, Some("511:3\n"));
    assert_eq!(
        look().unwrap_err().to_string(),
        format!(
            "the device node `{}` has the numbers 1:3, but the kernel's device has 511:3",
            tree.dev_path("vfio/devices/vfio3").display()
        )
    );
    for garbage in [&b"garbage"[..], b"", b"\xff\xfe", b"1:3:4"] {
        tree.write(
            &format!("devices/pci0000:17/{A}/vfio-dev/vfio3/dev"),
            garbage,
        );
        assert!(
            matches!(look(), Err(NodeError::Unreadable { .. })),
            "{garbage:?}"
        );
    }
    cdev(&tree, Some("1:3\n"));
    fs::remove_file(tree.dev_path("vfio/devices/vfio3")).unwrap();
    fs::create_dir(tree.dev_path("vfio/devices/vfio3")).unwrap();
    assert!(matches!(look(), Err(NodeError::NotCharDevice { .. })));
}
