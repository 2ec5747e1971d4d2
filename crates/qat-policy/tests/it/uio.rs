//! VFs that are wanted on `igb_uio`.

use std::num::NonZeroUsize;

use qat_policy::{Family, PfTrouble, Reason, Rules, VfDrivers};
use vfio_host::UioNode;

use crate::node::{Node, address, counts, driver, missing, pools, reason};

fn rules() -> Rules {
    Rules {
        drivers: "igb_uio".parse::<VfDrivers>().unwrap(),
        ..Rules::default()
    }
}

/// The VFs of a denylisted family on `igb_uio`, each with its device, on a machine without IOMMU and
/// without VFIO.
fn node() -> Node {
    let mut node = Node::with_pf(Family::C62x, None);
    node.iommu_present = false;
    node.denylist_disabled = None;
    node.control = Err(missing("/dev/vfio/vfio"));
    node.nodes.clear();
    let vfs = node.snapshot.functions.values_mut().skip(1);
    for (number, vf) in vfs.enumerate() {
        vf.driver = Some(driver("igb_uio"));
        vf.iommu_group = None;
        let device = UioNode {
            host_path: format!("/dev/uio{number}").into(),
            attributes: format!("/sys/class/uio/uio{number}/device").into(),
        };
        node.uio.insert(vf.address, Ok(device));
    }
    node
}

#[test]
fn they_are_offered_without_iommu_and_without_vfio() {
    let inventory = node().inventory_by(&rules());
    assert_eq!(counts(&inventory), pools(&[("generic", 16)]));
}

#[test]
fn one_on_another_driver_is_told_which_one_is_wanted() {
    let mut node = node();
    node.function("0000:6b:00.1").driver = Some(driver("vfio-pci"));
    node.function("0000:6b:00.2").driver = None;
    node.function("0000:6b:00.3").driver = Some(driver("c6xxvf"));
    let inventory = node.inventory_by(&rules());
    assert_eq!(inventory.offered().count(), 13);
    let texts = ["0000:6b:00.1", "0000:6b:00.2", "0000:6b:00.3"].map(|at| {
        let reason = reason(&inventory, at);
        (reason.code(), reason.to_string())
    });
    let expected = [
        (
            "foreign-driver",
            "it is bound to `vfio-pci`; bind it to `igb_uio` to offer it",
        ),
        ("not-bound", "no driver is bound; bind it to `igb_uio`"),
        (
            "kernel-driver",
            "the host's QAT driver `c6xxvf` has it; unbind it there and bind it to `igb_uio`",
        ),
    ];
    assert_eq!(texts, expected.map(|(code, text)| (code, text.to_owned())));
}

#[test]
fn on_vfio_rules_a_vf_on_igb_uio_is_foreign() {
    let mut node = Node::with_pf(Family::Gen4_4xxx, Some("dc"));
    node.function("0000:6b:00.1").driver = Some(driver("igb_uio"));
    let reason = reason(&node.inventory(), "0000:6b:00.1");
    assert_eq!(reason.code(), "foreign-driver");
}

#[test]
fn one_without_a_usable_device_is_withheld() {
    let mut node = node();
    let (a, b) = (address("0000:6b:00.1"), address("0000:6b:00.2"));
    node.uio.insert(a, Err(missing("/dev/uio0")));
    node.uio.remove(&b);
    let inventory = node.inventory_by(&rules());
    assert_eq!(inventory.offered().count(), 14);
    assert_eq!(
        reason(&inventory, "0000:6b:00.1").to_string(),
        "it cannot be used: the device node `/dev/uio0` is missing; bind the VF to its UIO driver anew"
    );
    assert!(matches!(
        reason(&inventory, "0000:6b:00.2"),
        Reason::UioNode { .. }
    ));
}

#[test]
fn groups_do_not_matter_and_a_cap_does() {
    let mut node = node();
    // All in one group, with a card that the host drives.
    let group = node.function("0000:6b:00.0").iommu_group;
    for at in ["0000:6b:00.1", "0000:6b:00.2"] {
        node.function(at).iommu_group = group;
    }
    node.neighbour("0000:6c:00.0", Some("ixgbe"), "0000:6b:00.1");
    assert_eq!(node.inventory_by(&rules()).offered().count(), 16);
    let capped = Rules {
        cap: NonZeroUsize::new(3),
        ..rules()
    };
    assert_eq!(node.inventory_by(&capped).offered().count(), 3);
}

#[test]
fn a_pf_on_vfio_is_trouble_all_the_same() {
    let mut node = node();
    node.function("0000:6b:00.0").driver = Some(driver("vfio-pci"));
    let inventory = node.inventory_by(&rules());
    assert_eq!(inventory.offered().count(), 0);
    let trouble = &inventory.pfs[&address("0000:6b:00.0")].trouble;
    assert!(
        trouble
            .iter()
            .any(|trouble| matches!(trouble, PfTrouble::OnVfio { .. })),
        "{trouble:?}"
    );
}
