//! Single attributes, those that can block among them.

use std::fs;

use sysfs_pci::blocking::{MayBlock, driver_override, num_vfs, uevent};
use sysfs_pci::{
    AttrError, driver, enable_count, identity, iommu_group, is_on_the_bus, local_cpus, numa_node,
    physfn, total_vfs, vf_offset, vf_stride,
};

use crate::tree::{Tree, VF, at, vf};

#[test]
fn each_is_read_from_its_file() {
    let tree = Tree::new().with_pf(0x3d, 2);
    let (root, pf, function) = (tree.root(), at("0000:3d:00.0"), vf(0x3d, 1));
    tree.write(function, "enable", "1\n");
    tree.write(function, "local_cpulist", "0-31,64-95\n");
    tree.write(pf, "sriov_offset", "8\n");
    tree.write(pf, "sriov_stride", "1\n");

    assert_eq!(identity(&root, function).unwrap().id, VF);
    assert_eq!(
        driver(&root, function).unwrap().unwrap().as_str(),
        "vfio-pci"
    );
    assert_eq!(iommu_group(&root, pf).unwrap().unwrap().get(), 0x3d);
    assert_eq!(physfn(&root, function).unwrap(), Some(pf));
    assert_eq!(physfn(&root, pf).unwrap(), None);
    assert_eq!(numa_node(&root, pf).unwrap().unwrap().get(), 1);
    assert_eq!(local_cpus(&root, function).unwrap().len(), 64);
    assert_eq!(enable_count(&root, function).unwrap(), 1);
    assert_eq!(total_vfs(&root, pf).unwrap(), Some(64));
    assert_eq!(total_vfs(&root, function).unwrap(), None);
    assert_eq!(vf_offset(&root, pf).unwrap(), Some(8));
    assert_eq!(vf_stride(&root, pf).unwrap(), Some(1));
}

#[test]
fn a_function_that_has_left_the_bus_reads_as_ones() {
    let tree = Tree::new().with_pf(0x3d, 1);
    let (root, pf) = (tree.root(), at("0000:3d:00.0"));
    tree.write(pf, "config", "\u{6}\u{0}AA\u{0}");
    assert!(is_on_the_bus(&root, pf).unwrap());
    fs::write(root.pci_device(pf).join("config"), [0xff; 64]).unwrap();
    assert!(!is_on_the_bus(&root, pf).unwrap());
    tree.write(pf, "config", "AA");
    let error = is_on_the_bus(&root, pf).unwrap_err();
    assert!(matches!(error, AttrError::Invalid { .. }), "{error:?}");
}

#[test]
fn a_function_that_is_not_there_is_gone_or_has_nothing() {
    let (root, nobody) = (Tree::new().root(), at("0000:aa:00.0"));
    assert!(identity(&root, nobody).unwrap_err().is_gone());
    assert!(enable_count(&root, nobody).unwrap_err().is_gone());
    assert_eq!(driver(&root, nobody).unwrap(), None);
    assert_eq!(iommu_group(&root, nobody).unwrap(), None);
    assert_eq!(numa_node(&root, nobody).unwrap(), None);
}

#[test]
fn driver_override_knows_the_ways_to_say_unset() {
    let tree = Tree::new().with_pf(0x3d, 1);
    let (root, function, proof) = (tree.root(), vf(0x3d, 0), MayBlock::acknowledged());
    for unset in ["(null)\n", "\n", "", "\0"] {
        tree.write(function, "driver_override", unset);
        assert_eq!(driver_override(&proof, &root, function).unwrap(), None);
    }
    tree.write(function, "driver_override", "vfio-pci\n");
    let name = driver_override(&proof, &root, function).unwrap().unwrap();
    assert_eq!(name.as_str(), "vfio-pci");
    tree.write(function, "driver_override", "a/b\n");
    let error = driver_override(&proof, &root, function).unwrap_err();
    assert!(matches!(error, AttrError::Invalid { .. }), "{error:?}");
}

#[test]
fn counts_and_uevents() {
    let tree = Tree::new().with_pf(0x3d, 1);
    let (root, pf, proof) = (tree.root(), at("0000:3d:00.0"), MayBlock::acknowledged());
    tree.write(pf, "sriov_numvfs", "16\n");
    assert_eq!(num_vfs(&proof, &root, pf).unwrap(), 16);
    assert!(num_vfs(&proof, &root, vf(0x3d, 0)).unwrap_err().is_gone());

    tree.write(
        pf,
        "uevent",
        "DRIVER=igb\nPCI_ID=8086:1521\njunk\n=\nA=B=C\n",
    );
    let keys = uevent(&proof, &root, pf).unwrap();
    assert_eq!(keys["DRIVER"], "igb");
    assert_eq!(keys["A"], "B=C");
    assert!(!keys.contains_key("junk"));
}
