//! What a scan makes of a healthy machine.

use std::io::ErrorKind;

use sysfs_pci::{
    NeighbourDriver, NumaNode, PciId, Role, ScanError, Scanner, Snapshot, Sriov, SysfsRoot,
    VfIndex, scan,
};

use crate::tree::{OTHER, PF, Tree, VF, at, depth, vf};

#[test]
fn a_physical_function_has_its_virtual_functions_in_numeric_order() {
    let tree = Tree::new().with_pf(0x3d, 16);
    let snapshot = scan(&tree.root(), &depth).unwrap();
    assert_eq!(snapshot.failures, []);
    assert_eq!(snapshot.functions.len(), 17);

    let pf = &snapshot.functions[&at("0000:3d:00.0")];
    assert_eq!((pf.id, pf.subsystem), (PF, PciId::new(0x8086, 2)));
    assert_eq!(pf.class.to_string(), "0x020000");
    assert_eq!(pf.driver.as_ref().unwrap().as_str(), "igb");
    assert_eq!(pf.iommu_group.unwrap().get(), 0x3d);
    let Role::Physical(sriov) = &pf.role else {
        panic!("{pf:?}")
    };
    assert!(sriov.capable);
    let links: Vec<_> = sriov.vfs.iter().map(|(n, vf)| (n.get(), *vf)).collect();
    let expected: Vec<_> = (0..16).map(|n| (n, vf(0x3d, n))).collect();
    assert_eq!(links, expected);
}

#[test]
fn a_virtual_function_knows_its_pf_its_number_and_takes_the_numa_node_of_the_pf() {
    let tree = Tree::new().with_pf(0x3d, 12);
    tree.write(vf(0x3d, 10), "numa_node", "7\n");
    let snapshot = scan(&tree.root(), &depth).unwrap();
    let function = &snapshot.functions[&vf(0x3d, 10)];
    assert_eq!(function.id, VF);
    assert_eq!(
        function.role,
        Role::Virtual {
            pf: at("0000:3d:00.0"),
            index: Some(VfIndex::new(10)),
        }
    );
    assert_eq!(snapshot.numa_node(vf(0x3d, 10)), Some(NumaNode::new(1)));
    assert_eq!(
        snapshot.numa_node(at("0000:3d:00.0")),
        Some(NumaNode::new(1))
    );
    assert_eq!(snapshot.numa_node(at("0000:ff:00.0")), None);
}

#[test]
fn a_virtual_function_whose_pf_is_not_looked_at_has_no_number() {
    let tree = Tree::new().with_pf(0x3d, 1);
    tree.write(
        at("0000:3d:00.0"),
        "modalias",
        "pci:v0000144Dd0000A824sv0000144Dsd00000000bc01sc08i02\n",
    );
    let snapshot = scan(&tree.root(), &depth).unwrap();
    let role = &snapshot.functions[&vf(0x3d, 0)].role;
    assert!(
        matches!(role, Role::Virtual { index: None, .. }),
        "{role:?}"
    );
    assert_eq!(snapshot.numa_node(vf(0x3d, 0)), None);
}

#[test]
fn a_function_without_physfn_stands_alone() {
    let tree = Tree::new();
    tree.add("0000:05:00.0", VF);
    let snapshot = scan(&tree.root(), &depth).unwrap();
    let function = &snapshot.functions[&at("0000:05:00.0")];
    assert_eq!((&function.driver, function.iommu_group), (&None, None));
    let numa_node = Some(NumaNode::new(1));
    assert_eq!(function.role, Role::Standalone { numa_node });
    assert_eq!(snapshot.numa_node(function.address), numa_node);
}

#[test]
fn an_unknown_or_missing_numa_node_is_none() {
    let tree = Tree::new();
    for name in ["0000:05:00.0", "0000:06:00.0"] {
        tree.add(name, VF);
    }
    tree.write(at("0000:05:00.0"), "numa_node", "-1\n");
    tree.unlink(at("0000:06:00.0"), "numa_node");
    let mut scanner = Scanner::new(tree.root());
    for _ in 0..2 {
        let snapshot = scanner.scan(&depth).unwrap();
        assert_eq!(snapshot.functions.len(), 2);
        for function in snapshot.functions.values() {
            assert_eq!(function.role, Role::Standalone { numa_node: None });
        }
    }
}

#[test]
fn a_physical_function_without_sriov_is_not_capable() {
    let tree = Tree::new().with_pf(0x3d, 0);
    tree.unlink(at("0000:3d:00.0"), "sriov_totalvfs");
    let snapshot = scan(&tree.root(), &depth).unwrap();
    let sriov = Sriov {
        numa_node: Some(NumaNode::new(1)),
        ..Sriov::default()
    };
    assert_eq!(
        snapshot.functions[&at("0000:3d:00.0")].role,
        Role::Physical(sriov)
    );
}

#[test]
fn wide_domains_are_functions_like_others() {
    let tree = Tree::new();
    tree.add("10000:e1:00.0", VF);
    let snapshot = scan(&tree.root(), &depth).unwrap();
    assert_eq!(
        snapshot.functions[&at("10000:e1:00.0")].address.domain(),
        0x10000
    );
}

#[test]
fn the_driver_of_a_neighbour_is_read_only_in_a_shared_group() {
    let tree = Tree::new().with_pf(0x3d, 1);
    for (name, group) in [("0000:3d:03.0", 77), ("0000:3d:04.0", 78)] {
        tree.add(name, OTHER);
        tree.group(at(name), group);
        tree.link(at(name), "driver", "../../../bus/pci/drivers/ixgbe");
    }
    tree.group(vf(0x3d, 0), 77);
    let snapshot = scan(&tree.root(), &depth).unwrap();
    let driver = |name| &snapshot.neighbours[&at(name)].driver;
    let bound = NeighbourDriver::Bound {
        name: "ixgbe".parse().unwrap(),
        vfio: false,
    };
    assert_eq!(driver("0000:3d:03.0"), &bound);
    assert_eq!(driver("0000:3d:04.0"), &NeighbourDriver::NotRead);
    assert_eq!(
        snapshot.neighbours[&at("0000:3d:04.0")]
            .iommu_group
            .unwrap()
            .get(),
        78
    );
}

#[test]
fn a_root_without_a_pci_bus_is_named() {
    let error = scan(&SysfsRoot::new("/nonexistent/sys"), &depth).unwrap_err();
    let ScanError::NoPciBus { path, source } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(path.to_str(), Some("/nonexistent/sys/bus/pci/devices"));
    assert_eq!(source.kind(), ErrorKind::NotFound);
    assert!(
        error
            .to_string()
            .contains("/nonexistent/sys/bus/pci/devices")
    );
}

#[test]
fn an_empty_bus_is_an_empty_snapshot() {
    let snapshot = scan(&Tree::new().root(), &depth).unwrap();
    assert_eq!(snapshot, Snapshot::default());
}
