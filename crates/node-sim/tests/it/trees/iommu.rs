//! Machines without IOMMU, and groups that are missing or shared.

use std::fs;

use node_sim::Change;
use sysfs_pci::DriverName;

use super::{
    assert_scan_agrees, at,
    changes::{sound, vf, xeon},
    link, scan,
};

#[test]
fn no_iommu_at_all() {
    let sim = sound(xeon().with(Change::NoIommu));
    for dir in ["class/iommu", "kernel/iommu_groups", "class/vfio"] {
        let entries = fs::read_dir(sim.node.sysfs().join(dir)).unwrap();
        assert_eq!(entries.count(), 0, "{dir}");
    }
    assert_eq!(sim.node.driver_of(vf()), None);
}

#[test]
fn no_iommu_mode() {
    let sim = sound(xeon().with(Change::NoIommuMode));
    assert_eq!(
        link(&sim.node, "class/vfio/noiommu-0"),
        "../../devices/virtual/vfio/noiommu-0"
    );
    assert!(sim.node.dev().join("vfio/noiommu-63").exists());
    assert!(!sim.node.dev().join("vfio/0").exists());
    let group = |name: &str| {
        fs::read_to_string(sim.node.sysfs().join("kernel/iommu_groups/5").join(name)).unwrap()
    };
    assert_eq!(group("name"), "vfio-noiommu\n");
    assert_eq!(group("type"), "unknown\n");
    assert_eq!(group("reserved_regions"), "");
    let mode = "module/vfio/parameters/enable_unsafe_noiommu_mode";
    let mode = fs::read_to_string(sim.node.sysfs().join(mode)).unwrap();
    assert_eq!(mode, "Y\n");
    // The group comes and goes with the driver.
    sim.node.unbind(vf()).unwrap();
    assert!(!sim.node.sysfs().join("kernel/iommu_groups/0").exists());
    assert!(!sim.node.device(vf()).join("iommu_group").exists());
    sim.node.bind(vf(), "vfio-pci").unwrap();
    assert!(sim.node.dev().join("vfio/noiommu-0").exists());
    assert_scan_agrees(&sim.node);
}

#[test]
fn iommu_passthrough() {
    let sim = sound(xeon().with(Change::IommuPassthrough));
    let kind = sim.node.sysfs().join("kernel/iommu_groups/320/type");
    assert_eq!(fs::read_to_string(kind).unwrap(), "identity\n");
}

#[test]
fn groups_missing_and_shared() {
    let sim = sound(xeon().with(Change::NoIommuGroup(vf())));
    assert_eq!(sim.node.group_of(vf()), None);
    assert!(!sim.node.dev().join("vfio/320").exists());

    let b = at("0000:6b:00.2");
    let sim = sound(xeon().with(Change::SharedGroup { a: vf(), b }));
    assert_eq!(sim.node.group_of(vf()), sim.node.group_of(b));
    // The node stays until the last member is unbound.
    let node = sim.node.dev().join("vfio/320");
    sim.node.unbind(vf()).unwrap();
    assert!(node.exists());
    sim.node.unbind(b).unwrap();
    assert!(!node.exists());

    let change = Change::NicInGroup {
        of: vf(),
        driver: Some("ixgbe"),
    };
    let sim = sound(xeon().with(change));
    let snapshot = scan(&sim.node);
    let group = sim.node.group_of(vf());
    let nic = snapshot
        .neighbours
        .values()
        .find(|n| n.iommu_group == group)
        .unwrap();
    assert_eq!(nic.driver.name().map(DriverName::as_str), Some("ixgbe"));
}
