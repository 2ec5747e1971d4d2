use std::fs;

use vfio_host::{denylist_disabled, iommu_present, is_no_iommu_group};

use crate::tree::{Tree, group};

#[test]
fn an_iommu_is_there_when_its_class_has_an_entry() {
    let tree = Tree::new();
    assert!(!iommu_present(&tree.sysfs()));
    fs::create_dir(tree.sys_path("class/iommu/dmar0")).unwrap();
    assert!(iommu_present(&tree.sysfs()));
    fs::remove_dir_all(tree.sys_path("class")).unwrap();
    assert!(!iommu_present(&tree.sysfs()));
}

#[test]
fn a_no_iommu_group_is_known_by_its_name() {
    let tree = Tree::new();
    tree.function("0000:17:00.1").join("0000:17:00.1", 7);
    assert!(!is_no_iommu_group(&tree.sysfs(), group(7)));
    tree.write("kernel/iommu_groups/7/name", "something\n");
    assert!(!is_no_iommu_group(&tree.sysfs(), group(7)));
    tree.write("kernel/iommu_groups/7/name", "vfio-noiommu\n");
    assert!(is_no_iommu_group(&tree.sysfs(), group(7)));
    assert!(!is_no_iommu_group(&tree.sysfs(), group(8)));
}

#[test]
fn the_denylist_is_on_off_or_unknown() {
    let tree = Tree::new();
    assert_eq!(denylist_disabled(&tree.sysfs()), None);
    for (text, expected) in [
        (&b"Y\n"[..], Some(true)),
        (b"N\n", Some(false)),
        (b"N", Some(false)),
        (b"", None),
        (b"\xff", None),
    ] {
        tree.write("module/vfio_pci/parameters/disable_denylist", text);
        assert_eq!(denylist_disabled(&tree.sysfs()), expected, "{text:?}");
    }
}
