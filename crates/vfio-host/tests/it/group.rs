use std::collections::BTreeMap;
use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;
use sysfs_pci::{Depth, DriverName, PciAddress, PciId, Snapshot, fs as funnel, scan};
use vfio_host::{Group, HostError, Member, VfioDrivers, Viability, groups, read_group};

use crate::tree::{Tree, address, group};

const A: &str = "0000:17:00.1";
const B: &str = "0000:17:00.2";

fn member(driver: Option<&str>, vfio: bool) -> Member {
    Member {
        name: B.into(),
        address: Some(address(B)),
        driver: driver.map(|driver| driver.parse().unwrap()),
        driver_unreadable: false,
        vfio,
    }
}

fn blockers(members: Vec<Member>) -> Vec<String> {
    match (Group {
        id: group(1),
        members,
    })
    .viability(&VfioDrivers::default())
    {
        Viability::Viable => Vec::new(),
        Viability::Blocked { by } => by.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn these_members_are_harmless() {
    assert!(blockers(Vec::new()).is_empty());
    for harmless in [
        member(None, false),
        member(Some("vfio-pci"), false),
        member(Some("pci-stub"), false),
        member(Some("pcieport"), false),
        member(Some("mlx5_vfio_pci"), true),
        member(Some("some-new-driver"), true),
    ] {
        assert!(blockers(vec![harmless.clone()]).is_empty(), "{harmless}");
    }
}

#[test]
fn any_other_driver_blocks_and_is_named() {
    let members = vec![
        member(Some("igb"), false),
        member(Some("vfio-pci"), false),
        member(Some("mlx5_vfio_pci"), false),
        member(Some("uio_pci_generic"), false),
    ];
    assert_eq!(
        blockers(members),
        [
            "0000:17:00.2 (igb)",
            "0000:17:00.2 (mlx5_vfio_pci)",
            "0000:17:00.2 (uio_pci_generic)"
        ]
    );
}

#[test]
fn a_variant_driver_counts_when_the_caller_names_it() {
    let lone = Group {
        id: group(1),
        members: vec![member(Some("mlx5_vfio_pci"), false)],
    };
    let drivers = VfioDrivers::default().with("mlx5_vfio_pci".parse().unwrap());
    assert_eq!(lone.viability(&drivers), Viability::Viable);
}

fn look_at_nics(id: PciId) -> Depth {
    if id == PciId::new(0x8086, 0x1520) {
        Depth::Function
    } else {
        Depth::Identity
    }
}

fn neighbour(tree: &Tree, function: &str) {
    tree.function(function);
    fs::write(
        tree.device_directory(function).join("modalias"),
        "pci:v00001234d00005678sv00001234sd00000000bc01sc00i00\n",
    )
    .unwrap();
}

#[test]
fn a_scan_is_arranged_into_groups_without_a_call() {
    let tree = Tree::new();
    tree.vfio_function(A, 320).vfio_function(B, 321);
    neighbour(&tree, "0000:17:00.0");
    tree.bind("0000:17:00.0", "nvme").join("0000:17:00.0", 321);
    neighbour(&tree, "0000:17:01.0");
    tree.bind("0000:17:01.0", "nvme").join("0000:17:01.0", 9);
    tree.function("0000:17:02.0");
    let snapshot = scan(&tree.sysfs(), &look_at_nics).unwrap();

    let before = funnel::calls();
    let groups = groups(&snapshot);
    assert_eq!(funnel::calls(), before);

    // Group 9 has no function that was looked at, 0000:17:02.0 has no group.
    assert_eq!(
        groups.keys().copied().collect::<Vec<_>>(),
        [group(320), group(321)]
    );
    let lone = &groups[&group(320)];
    assert_eq!(lone.viability(&VfioDrivers::default()), Viability::Viable);
    assert_eq!(lone.others(address(A)).count(), 0);
    let shared = &groups[&group(321)];
    let members: Vec<_> = shared.members.iter().map(ToString::to_string).collect();
    assert_eq!(members, ["0000:17:00.0 (nvme)", "0000:17:00.2 (vfio-pci)"]);
    let Viability::Blocked { by } = shared.viability(&VfioDrivers::default()) else {
        panic!("a disk's driver is in the group");
    };
    assert_eq!(by.len(), 1);
    assert_eq!(by[0].address, Some(address("0000:17:00.0")));
    assert_eq!(shared.others(address(B)).count(), 1);
}

#[test]
fn an_empty_scan_has_no_groups() {
    assert_eq!(groups(&Snapshot::default()), BTreeMap::new());
}

#[test]
fn a_live_read_sees_all_members() {
    let tree = Tree::new();
    tree.vfio_function(A, 320)
        .function(B)
        .bind(B, "odd_variant")
        .join_as(B, 320, "0000:17:00.2.0");
    fs::create_dir_all(tree.device_directory(B).join("vfio-dev/vfio3")).unwrap();
    tree.function("0000:17:00.3").join("0000:17:00.3", 320);
    tree.platform_member("ff9c0000.dma", 320, "pl330");
    let read = read_group(&tree.sysfs(), group(320)).unwrap();

    let members: Vec<_> = read.members.iter().map(ToString::to_string).collect();
    assert_eq!(
        members,
        [
            "0000:17:00.1 (vfio-pci)",
            "0000:17:00.2.0 (odd_variant)",
            "0000:17:00.3 (no driver)",
            "ff9c0000.dma (pl330)",
        ]
    );
    let addresses: Vec<_> = read.members.iter().map(|member| member.address).collect();
    assert_eq!(
        addresses,
        [
            Some(address(A)),
            Some(address(B)),
            Some(address("0000:17:00.3")),
            None
        ]
    );
    assert_eq!(
        read.members
            .iter()
            .map(|member| member.vfio)
            .collect::<Vec<_>>(),
        [false, true, false, false]
    );
    let Viability::Blocked { by } = read.viability(&VfioDrivers::default()) else {
        panic!("a platform driver is in the group");
    };
    assert_eq!(
        by.iter()
            .map(|member| member.name.as_str())
            .collect::<Vec<_>>(),
        ["ff9c0000.dma"]
    );
}

#[test]
fn the_calls_of_a_live_read_are_bounded() {
    let tree = Tree::new();
    tree.vfio_function(A, 320).function(B).join(B, 320);
    let before = funnel::calls();
    read_group(&tree.sysfs(), group(320)).unwrap();
    // The listing, two drivers, one vfio-dev.
    assert_eq!(funnel::calls() - before, 4 + 2 + 1);
}

#[test]
fn a_member_that_vanishes_is_harmless() {
    let tree = Tree::new();
    tree.vfio_function(A, 320)
        .function(B)
        .bind(B, "igb")
        .join(B, 320);
    fs::remove_dir_all(tree.device_directory(B)).unwrap();
    let read = read_group(&tree.sysfs(), group(320)).unwrap();
    assert_eq!(read.members.len(), 2);
    assert_eq!(read.viability(&VfioDrivers::default()), Viability::Viable);
}

#[test]
fn a_live_read_names_what_it_cannot_read() {
    let tree = Tree::new();
    assert!(matches!(
        read_group(&tree.sysfs(), group(320)),
        Err(HostError::NoGroup { group: id }) if id == group(320)
    ));
    tree.write("kernel/iommu_groups/320/devices", "a file");
    assert!(matches!(
        read_group(&tree.sysfs(), group(320)),
        Err(HostError::List { .. })
    ));
    tree.vfio_function(A, 321);
    fs::remove_file(tree.device_directory(A).join("driver")).unwrap();
    fs::write(tree.device_directory(A).join("driver"), "no link").unwrap();
    let error = read_group(&tree.sysfs(), group(321)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the driver of `0000:17:00.1` in IOMMU group 321"
    );
}

fn any_member() -> impl Strategy<Value = Member> {
    let driver = prop_oneof![
        Just(None),
        Just(Some("vfio-pci")),
        Just(Some("pci-stub")),
        Just(Some("pcieport")),
        Just(Some("igb")),
        Just(Some("nvme")),
    ];
    (any::<u8>(), driver, any::<bool>(), any::<bool>()).prop_map(
        |(bus, driver, vfio, unreadable)| {
            let address = PciAddress::new(0, bus, 0, 0).unwrap();
            Member {
                name: address.to_string(),
                address: Some(address),
                driver: driver.map(|driver| driver.parse::<DriverName>().unwrap()),
                driver_unreadable: unreadable && driver.is_none(),
                vfio: vfio && driver.is_some(),
            }
        },
    )
}

proptest! {
    /// The blockers are exactly the members that make the group not viable.
    #[test]
    fn without_its_blockers_a_group_is_viable(
        members in vec(any_member(), 0..8),
    ) {
        let drivers = VfioDrivers::default();
        let whole = Group { id: group(1), members };
        let by = match whole.viability(&drivers) {
            Viability::Viable => Vec::new(),
            Viability::Blocked { by } => {
                prop_assert!(!by.is_empty());
                by
            }
        };
        for blocker in &by {
            let alone = Group { id: group(1), members: vec![blocker.clone()] };
            prop_assert_eq!(alone.viability(&drivers), Viability::Blocked { by: alone.members });
        }
        let rest: Vec<_> =
            whole.members.iter().filter(|member| !by.contains(member)).cloned().collect();
        prop_assert_eq!(Group { id: group(1), members: rest }.viability(&drivers), Viability::Viable);
    }
}
