use std::fs;
use std::path::Path;

use sysfs_pci::DriverName;
use vfio_host::{DeviceNumbers, NodeError, UioNode, UioRefusal};

use crate::tree::{Tree, address};

const A: &str = "0000:17:00.1";

fn igb_uio() -> DriverName {
    "igb_uio".parse().unwrap()
}

/// A function on `igb_uio` whose device is `uio12`.
fn good() -> Tree {
    let tree = Tree::new();
    tree.function(A).bind(A, "igb_uio").node("uio12");
    // What the driver has enabled is not in use.
    fs::write(tree.device_directory(A).join("enable"), "1\n").unwrap();
    tree.write(&format!("devices/pci0000:17/{A}/uio/uio12/dev"), "1:3\n");
    tree
}

fn ask(tree: &Tree) -> Result<UioNode, UioRefusal> {
    tree.host().recheck_uio(address(A), &igb_uio())
}

fn node_error(tree: &Tree) -> NodeError {
    match ask(tree).unwrap_err() {
        UioRefusal::Node { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_node_and_the_attributes_are_named_as_on_the_host() {
    let node = ask(&good()).unwrap();
    assert_eq!(node.host_path, Path::new("/dev/uio12"));
    assert_eq!(node.attributes, Path::new("/sys/class/uio/uio12/device"));
}

#[test]
fn no_iommu_group_is_needed_and_none_harms() {
    let tree = good();
    tree.join(A, 7);
    tree.function("0000:17:00.2")
        .bind("0000:17:00.2", "ixgbe")
        .join("0000:17:00.2", 7);
    assert!(ask(&tree).is_ok());
}

#[test]
fn another_driver_or_none_is_refused() {
    let tree = good();
    tree.unbind(A);
    let refusal = ask(&tree).unwrap_err();
    assert!(
        matches!(refusal, UioRefusal::NoDriver { .. }),
        "{refusal:?}"
    );
    tree.bind(A, "vfio-pci");
    let text = ask(&tree).unwrap_err().to_string();
    assert_eq!(
        text,
        "PCI function 0000:17:00.1 is bound to `vfio-pci`; bind it to `igb_uio` on the node"
    );
}

#[test]
fn a_function_that_is_gone_is_said_to_be_gone() {
    let tree = good();
    fs::remove_file(tree.sys_path("bus/pci/devices").join(A)).unwrap();
    let address = address(A);
    assert_eq!(ask(&tree), Err(UioRefusal::Gone { address }));
}

#[test]
fn a_node_that_is_missing_or_another_one_is_refused() {
    let tree = good();
    tree.write(&format!("devices/pci0000:17/{A}/uio/uio12/dev"), "244:0\n");
    let numbers = |major, minor| DeviceNumbers { major, minor };
    assert_eq!(
        node_error(&tree),
        NodeError::WrongDevice {
            path: tree.dev_path("uio12"),
            found: numbers(1, 3),
            expected: numbers(244, 0),
        }
    );
    let path = tree.dev_path("uio12");
    fs::remove_file(&path).unwrap();
    assert_eq!(node_error(&tree), NodeError::Missing { path: path.clone() });
    fs::create_dir(&path).unwrap();
    assert_eq!(node_error(&tree), NodeError::NotCharDevice { path });
}

#[test]
fn a_function_without_a_uio_device_is_refused() {
    let tree = good();
    let directory = tree.device_directory(A).join("uio");
    fs::remove_dir_all(directory.join("uio12")).unwrap();
    fs::create_dir(directory.join("power")).unwrap();
    assert!(matches!(node_error(&tree), NodeError::NoUio { .. }));
    fs::remove_dir_all(&directory).unwrap();
    assert!(matches!(node_error(&tree), NodeError::NoUio { .. }));
}
