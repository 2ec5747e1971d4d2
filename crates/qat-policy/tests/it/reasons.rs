//! Each reason for which a VF is not offered.

use std::collections::BTreeSet;

use qat_policy::{
    Family, PfReading, PfTrouble, ReadingError, Reason, Rules, Standing, parse_kernel_vf_drivers,
};

use crate::node::{
    Node, address, counts, driver, gen4, missing, only_the_first, pools, reason, trouble,
};

#[test]
fn families_that_are_not_enabled() {
    let node = Node::with_pf(Family::C62x, None).pf(Family::Gen4_4xxx, 0x70, 0, Some("dc"));
    let rules = Rules {
        families: parse_kernel_vf_drivers("4xxxvf").unwrap(),
        ..Rules::default()
    };
    let inventory = node.inventory_by(&rules);
    assert_eq!(counts(&inventory), pools(&[("dc", 16)]));
    assert_eq!(
        reason(&inventory, "0000:6b:00.1"),
        Reason::FamilyNotEnabled { driver: "c6xxvf" }
    );

    // The operator does not care for this PF, so nothing about it is trouble.
    let mut unbound = Node::with_pf(Family::C62x, None);
    unbound.function("0000:6b:00.0").driver = None;
    assert_eq!(
        unbound.inventory_by(&rules).pfs[&address("0000:6b:00.0")].trouble,
        []
    );
}

#[test]
fn one_without_driver() {
    let mut node = gen4();
    node.function("0000:6b:00.1").driver = None;
    let reason = only_the_first(&node);
    assert_eq!(reason.code(), "not-bound");
    assert_eq!(
        reason.to_string(),
        "no driver is bound; bind it to `qat_vfio_pci` or `vfio-pci`"
    );
}

#[test]
fn one_on_another_driver() {
    let mut node = gen4();
    node.function("0000:6b:00.1").driver = Some(driver("uio_pci_generic"));
    assert!(
        matches!(only_the_first(&node), Reason::ForeignDriver { driver, .. } if driver.as_str() == "uio_pci_generic")
    );
    node.function("0000:6b:00.1").driver = Some(driver("4xxxvf"));
    assert!(
        matches!(only_the_first(&node), Reason::KernelDriver { driver, .. } if driver.as_str() == "4xxxvf")
    );
}

#[test]
fn the_denylist() {
    let mut node = Node::with_pf(Family::C62x, None);
    node.function("0000:6b:00.1").driver = Some(driver("c6xxvf"));
    for refusing in [Some(false), None] {
        node.denylist_disabled = refusing;
        for bound in [Some(driver("c6xxvf")), None] {
            node.function("0000:6b:00.1").driver = bound;
            let reason = only_the_first(&node);
            assert_eq!(
                reason.to_string(),
                "vfio-pci refuses 8086:37c9 (denylist); load vfio-pci with disable_denylist=1 if you trust the users of \
                 these VFs"
            );
        }
    }
    // With the denylist off only the binding is missing; families that are not on it never see this
    // reason.
    node.denylist_disabled = Some(true);
    assert_eq!(only_the_first(&node).code(), "not-bound");
    let mut d15xx = Node::with_pf(Family::D15xx, None);
    d15xx.function("0000:6b:00.1").driver = None;
    assert_eq!(only_the_first(&d15xx).code(), "not-bound");
}

#[test]
fn no_group() {
    let mut node = gen4();
    node.function("0000:6b:00.1").iommu_group = None;
    assert_eq!(only_the_first(&node), Reason::NoIommuGroup);
    node.iommu_present = false;
    assert_eq!(only_the_first(&node), Reason::NoIommu);
    // The missing IOMMU is the cause of the missing driver.
    node.function("0000:6b:00.1").driver = None;
    assert_eq!(only_the_first(&node), Reason::NoIommu);
}

#[test]
fn a_group_with_another_driver() {
    let mut node = gen4();
    node.neighbour("0000:17:00.0", Some("ixgbe"), "0000:6b:00.1");
    let Reason::GroupBlocked { by, .. } = only_the_first(&node) else {
        panic!()
    };
    assert_eq!(by, ["0000:17:00.0 (ixgbe)"]);
    for harmless in [Some("pcieport"), Some("vfio-pci"), None] {
        node.neighbour("0000:17:00.0", harmless, "0000:6b:00.1");
        assert_eq!(node.inventory().offered().count(), 16);
    }
}

#[test]
fn a_group_that_two_share() {
    let mut node = gen4();
    let group = node.function("0000:6b:00.1").iommu_group;
    node.function("0000:6b:00.2").iommu_group = group;
    let inventory = node.inventory();
    assert_eq!(inventory.offered().count(), 15);
    assert!(
        inventory.vfs[&address("0000:6b:00.1")]
            .standing
            .is_offered()
    );
    let shared = Reason::GroupShared {
        group: group.unwrap(),
        with: address("0000:6b:00.1"),
    };
    assert_eq!(reason(&inventory, "0000:6b:00.2"), shared);

    // If the first cannot be offered the second is.
    node.function("0000:6b:00.1").driver = None;
    let inventory = node.inventory();
    assert_eq!(reason(&inventory, "0000:6b:00.1").code(), "not-bound");
    assert!(
        inventory.vfs[&address("0000:6b:00.2")]
            .standing
            .is_offered()
    );
}

#[test]
fn nodes_that_are_not_there() {
    let mut node = gen4();
    let group = node.function("0000:6b:00.1").iommu_group.unwrap();
    node.nodes.insert(group, Err(missing("/dev/vfio/320")));
    let text = only_the_first(&node).to_string();
    assert!(
        text.contains("the device node `/dev/vfio/320` is missing"),
        "{text}"
    );
    node.nodes.remove(&group);
    assert_eq!(only_the_first(&node).code(), "node");

    node.control = Err(missing("/dev/vfio/vfio"));
    let inventory = node.inventory();
    assert_eq!(inventory.offered().count(), 0);
    let text = reason(&inventory, "0000:6b:02.0").to_string();
    assert_eq!(
        text,
        "the device node `/dev/vfio/vfio` is missing; load the module `vfio-pci`"
    );
}

#[test]
fn services_that_cannot_be_read() {
    let mut node = gen4().pf(Family::Gen4_4xxx, 0x70, 0, Some("dc"));
    let pf = address("0000:6b:00.0");
    let error = ReadingError::Unreadable {
        reason: "cannot read `x`: Input/output error".to_owned(),
    };
    node.readings.insert(
        pf,
        PfReading {
            services: Err(error),
        },
    );
    let inventory = node.inventory();
    assert_eq!(
        counts(&inventory),
        pools(&[("dc", 16)]),
        "only this PF's VFs are withheld"
    );
    let text = reason(&inventory, "0000:6b:00.1").to_string();
    assert!(
        text.starts_with("the services of its PF 0000:6b:00.0 are not known: "),
        "{text}"
    );
    assert!(text.contains("Input/output error"), "{text}");
    assert!(matches!(trouble(&node)[..], [PfTrouble::Services { .. }]));

    node.readings.remove(&pf);
    assert_eq!(reason(&node.inventory(), "0000:6b:00.1").code(), "services");
    assert_eq!(inventory.vfs[&address("0000:6b:00.1")].services, None);
}

#[test]
fn a_pf_that_the_scan_could_not_read() {
    let mut node = gen4();
    node.snapshot.functions.remove(&address("0000:6b:00.0"));
    let unreadable = Reason::PfUnreadable {
        pf: address("0000:6b:00.0"),
    };
    assert_eq!(reason(&node.inventory(), "0000:6b:00.1"), unreadable);
}

#[test]
fn pfs_on_the_wrong_driver() {
    let mut node = Node::with_pf(Family::C62x, None);
    for (bound, code, pf_code) in [
        (None, "pf-unbound", "unbound"),
        (Some(driver("vfio-pci")), "pf-on-vfio", "on-vfio"),
        (
            Some(driver("pci-stub")),
            "pf-foreign-driver",
            "foreign-driver",
        ),
    ] {
        node.function("0000:6b:00.0").driver = bound;
        let inventory = node.inventory();
        assert_eq!(inventory.offered().count(), 0);
        let reason = reason(&inventory, "0000:6b:00.1");
        assert_eq!(reason.code(), code);
        assert!(reason.to_string().contains("`c6xx`"), "{reason}");
        assert_eq!(
            trouble(&node)
                .iter()
                .map(PfTrouble::code)
                .collect::<Vec<_>>(),
            [pf_code]
        );
    }
    // A driver under another name that tells services does run QAT.
    let mut node = gen4();
    node.function("0000:6b:00.0").driver = Some(driver("4xxx_next"));
    assert_eq!(counts(&node.inventory()), pools(&[("cy", 16)]));
}

#[test]
fn sentences_have_the_form_of_the_house() {
    let mut texts = BTreeSet::new();
    let mut spoil = |change: &dyn Fn(&mut Node)| {
        let mut node = Node::with_pf(Family::Gen4_4xxx, Some("dc"));
        change(&mut node);
        let inventory = node.inventory();
        texts.extend(inventory.vfs.values().filter_map(|vf| match &vf.standing {
            Standing::Withheld(reason) => Some(reason.to_string()),
            Standing::Offered { .. } => None,
        }));
        texts.extend(
            inventory
                .pfs
                .values()
                .flat_map(|pf| &pf.trouble)
                .map(ToString::to_string),
        );
    };
    spoil(&|node| node.function("0000:6b:00.1").driver = None);
    spoil(&|node| node.function("0000:6b:00.1").iommu_group = None);
    spoil(&|node| node.function("0000:6b:00.0").driver = None);
    spoil(&|node| node.control = Err(missing("/dev/vfio/vfio")));
    assert!(texts.len() >= 5);
    for text in texts {
        assert!(
            !text.ends_with('.') && !text.contains("  ") && !text.contains('\n'),
            "{text:?}"
        );
        assert!(text.starts_with(|c: char| c.is_lowercase()), "{text:?}");
    }
}
