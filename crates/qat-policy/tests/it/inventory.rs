//! Inventories of nodes made by hand: what is offered, the PFs, the cap, and JSON.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use qat_policy::{Family, Inventory, PfTrouble, Reason, ResourceNames, Rules};
use sysfs_pci::{NumaNode, PciId, Role, VfIndex};

use crate::node::{Node, address, counts, driver, gen4, pools, reason, trouble};

#[test]
fn pools_by_services() {
    let node = Node::empty()
        .pf(Family::Gen4_4xxx, 0x6b, 0, Some("sym;asym"))
        .pf(Family::Gen4_4xxx, 0x70, 0, Some("dc"))
        .pf(Family::Gen4_402xx, 0xe8, 1, Some("asym;sym"))
        .pf(Family::Gen5_420xx, 0xed, 1, Some("dc;sym"))
        .pf(Family::Gen6_6xxx, 0xf2, 1, Some("sym;asym;dc"));
    let inventory = node.inventory();
    assert_eq!(
        counts(&inventory),
        pools(&[("asym-sym-dc", 16), ("cy", 32), ("dc", 16), ("sym-dc", 16)])
    );
    assert_eq!(inventory.withheld().count(), 0);

    let as_read = Rules {
        names: ResourceNames::AsRead.into(),
        ..Rules::default()
    };
    let expected = pools(&[("cy", 32), ("dc", 16), ("dc-sym", 16), ("sym-asym-dc", 16)]);
    assert_eq!(counts(&node.inventory_by(&as_read)), expected);

    let vf = &inventory.vfs[&address("0000:e8:00.1")];
    assert_eq!(
        (vf.family, vf.pf),
        (Family::Gen4_402xx, Some(address("0000:e8:00.0")))
    );
    assert_eq!(
        (vf.index.map(VfIndex::get), vf.numa_node.map(NumaNode::get)),
        (Some(0), Some(1))
    );
    assert_eq!(
        vf.services.as_ref().map(ToString::to_string).as_deref(),
        Some("asym;sym")
    );
    let pf = &inventory.pfs[&address("0000:e8:00.0")];
    assert_eq!(
        (pf.vf_count, pf.sriov_capable, pf.trouble.is_empty()),
        (16, true, true)
    );
}

#[test]
fn every_family_is_offered_when_all_is_well() {
    for family in Family::all() {
        let configurable = family.spec().services.is_configurable();
        let mut node = Node::with_pf(*family, configurable.then_some("dc"));
        if *family == Family::C62x {
            node.readings.clear(); // Fixed services need no reading.
        }
        let expected = pools(&[(
            if configurable { "dc" } else { "generic" },
            family.spec().total_vfs.into(),
        )]);
        assert_eq!(counts(&node.inventory()), expected, "{family}");
        assert_eq!(trouble(&node), [], "{family}");
    }
}

#[test]
fn a_kernel_that_knows_no_services_gives_generic() {
    let node = Node::with_pf(Family::Gen4_4xxx, None);
    assert_eq!(counts(&node.inventory()), pools(&[("generic", 16)]));
}

#[test]
fn a_guest_offers_generic() {
    let mut node = Node::empty();
    for (at, id) in [("0000:05:00.0", 0x4941), ("0000:0c:00.0", 0x37c9)] {
        node.add(
            address(at),
            PciId::new(0x8086, id),
            "vfio-pci",
            Role::Standalone { numa_node: None },
        );
    }
    let inventory = node.inventory();
    assert!(inventory.pfs.is_empty());
    assert_eq!(counts(&inventory), pools(&[("generic", 2)]));
    assert!(
        inventory
            .vfs
            .values()
            .all(|vf| vf.pf.is_none() && vf.services.is_none())
    );
}

#[test]
fn look_alikes_are_not_there() {
    let mut node = Node::empty();
    for (at, id) in [
        ("0000:05:00.0", PciId::new(0x10de, 0x4941)),
        ("0000:06:00.0", PciId::new(0x8086, 0x0b25)),
    ] {
        node.add(
            address(at),
            id,
            "vfio-pci",
            Role::Standalone { numa_node: None },
        );
    }
    assert_eq!(node.inventory(), Inventory::default());
}

#[test]
fn the_variant_driver_is_as_good() {
    let mut node = gen4();
    node.function("0000:6b:00.1").driver = Some(driver("qat_vfio_pci"));
    assert_eq!(counts(&node.inventory()), pools(&[("cy", 16)]));
}

#[test]
fn no_iommu_mode_is_offered() {
    let mut node = gen4();
    node.iommu_present = false; // Yet each VF has a group: vfio made it.
    assert_eq!(counts(&node.inventory()), pools(&[("cy", 16)]));
}

#[test]
fn pfs_without_vfs() {
    let without = |capable: bool| {
        let mut node = gen4();
        node.snapshot
            .functions
            .retain(|_, function| matches!(function.role, Role::Physical(_)));
        let Role::Physical(sriov) = &mut node.function("0000:6b:00.0").role else {
            panic!()
        };
        (sriov.capable, sriov.vfs) = (capable, BTreeMap::new());
        node
    };
    assert_eq!(trouble(&without(true)), [PfTrouble::NoVfs { total: 16 }]);
    assert_eq!(trouble(&without(false)), [PfTrouble::SriovOff]);
    let mut passed_through = without(false);
    passed_through.function("0000:6b:00.0").role = Role::Standalone { numa_node: None };
    assert_eq!(trouble(&passed_through), [PfTrouble::SriovOff]);
    // Without a driver there can be no VFs: one trouble, not two.
    let mut unbound = without(true);
    unbound.function("0000:6b:00.0").driver = None;
    assert_eq!(
        trouble(&unbound),
        [PfTrouble::Unbound {
            expected: "4xxx",
            module: "qat_4xxx"
        }]
    );
}

#[test]
fn vfs_that_vanished_are_trouble_of_the_pf_only() {
    let mut node = gen4();
    node.snapshot.functions.remove(&address("0000:6b:00.4"));
    assert_eq!(
        trouble(&node),
        [PfTrouble::SomeVfs {
            found: 15,
            total: 16
        }]
    );
    assert_eq!(node.inventory().offered().count(), 15);
}

#[test]
fn the_cap_counts_what_could_be_offered() {
    let mut node = gen4().pf(Family::Gen4_4xxx, 0x70, 0, Some("dc"));
    node.function("0000:6b:00.1").driver = None;
    let cap = NonZeroUsize::new(17).unwrap();
    let inventory = node.inventory_by(&Rules {
        cap: Some(cap),
        ..Rules::default()
    });
    assert_eq!(counts(&inventory), pools(&[("cy", 15), ("dc", 2)]));
    let offered: Vec<_> = inventory.offered().map(|(vf, _)| vf.address).collect();
    assert_eq!(offered.last(), Some(&address("0000:70:00.2")));
    assert_eq!(
        reason(&inventory, "0000:70:00.3"),
        Reason::BeyondCap { cap }
    );
    assert_eq!(reason(&inventory, "0000:6b:00.1").code(), "not-bound");
    let roomy = Rules {
        cap: NonZeroUsize::new(31),
        ..Rules::default()
    };
    assert_eq!(node.inventory_by(&roomy).offered().count(), 31);
}

#[test]
fn what_the_kubelet_knows_keeps_its_place_under_the_cap_and_in_a_shared_group() {
    let mut node = gen4();
    let rules = Rules {
        cap: NonZeroUsize::new(2),
        ..Rules::default()
    };
    let offered = |inventory: &Inventory| -> Vec<String> {
        inventory
            .offered()
            .map(|(vf, _)| vf.address.to_string())
            .collect()
    };
    assert_eq!(
        offered(&node.inventory_by(&rules)),
        ["0000:6b:00.1", "0000:6b:00.2"]
    );
    node.advertised = [address("0000:6b:00.4"), address("0000:6b:00.2")].into();
    assert_eq!(
        offered(&node.inventory_by(&rules)),
        ["0000:6b:00.2", "0000:6b:00.4"]
    );

    // One that is known and cannot be offered now keeps its place: nobody takes it meanwhile.
    node.function("0000:6b:00.4").driver = None;
    assert_eq!(offered(&node.inventory_by(&rules)), ["0000:6b:00.2"]);

    let group = node.function("0000:6b:00.2").iommu_group;
    node.function("0000:6b:00.1").iommu_group = group;
    let inventory = node.inventory();
    assert_eq!(reason(&inventory, "0000:6b:00.1").code(), "group-shared");
    assert!(offered(&inventory).contains(&"0000:6b:00.2".to_owned()));
    node.function("0000:6b:00.2").driver = None;
    let inventory = node.inventory();
    assert_eq!(reason(&inventory, "0000:6b:00.1").code(), "group-shared");
}

#[test]
fn a_vf_without_link_to_its_pf_is_no_guest_where_a_pf_of_its_family_is() {
    let mut node = gen4();
    node.function("0000:6b:00.5").role = Role::Standalone { numa_node: None };
    let inventory = node.inventory();
    assert_eq!(reason(&inventory, "0000:6b:00.5").code(), "no-pf-link");
    assert_eq!(counts(&inventory), pools(&[("cy", 15)]));
}

#[test]
fn vfs_of_a_pf_that_could_not_be_read_are_withheld_in_every_generation() {
    for (family, services) in [(Family::Gen4_4xxx, Some("dc")), (Family::C62x, None)] {
        let mut node = Node::empty().pf(family, 0x3d, 0, services);
        let pf = address("0000:3d:00.0");
        node.snapshot.functions.remove(&pf);
        let inventory = node.inventory();
        assert_eq!(inventory.offered().count(), 0);
        assert!(
            inventory
                .withheld()
                .all(|(_, reason)| reason.code() == "pf-unreadable")
        );
    }
}

#[test]
fn the_same_facts_give_the_same_inventory() {
    let mut node = gen4();
    node.function("0000:6b:00.3").driver = None;
    assert_eq!(node.inventory(), node.inventory());
}

#[test]
fn as_json() {
    let mut node = gen4();
    node.function("0000:6b:00.1").driver = None;
    node.snapshot.functions.retain(|at, _| {
        ["0000:6b:00.0", "0000:6b:00.1", "0000:6b:00.2"].contains(&&*at.to_string())
    });
    let json = serde_json::to_value(node.inventory()).unwrap();
    assert_eq!(
        json["vfs"]["0000:6b:00.1"]["standing"],
        serde_json::json!({
            "state": "withheld",
            "code": "not-bound",
            "text": "no driver is bound; bind it to `qat_vfio_pci` or `vfio-pci`",
        })
    );
    assert_eq!(
        json["vfs"]["0000:6b:00.2"],
        serde_json::json!({
            "address": "0000:6b:00.2",
            "id": "8086:4941",
            "family": "4xxx",
            "pf": "0000:6b:00.0",
            "index": 1,
            "driver": "vfio-pci",
            "iommu_group": 321,
            "numa_node": 0,
            "services": { "set": "asym;sym", "as_read": "sym;asym" },
            "standing": { "state": "offered", "pool": "cy" },
        })
    );
    assert_eq!(
        json["pfs"]["0000:6b:00.0"]["trouble"][0]["code"],
        "some-vfs"
    );
}
