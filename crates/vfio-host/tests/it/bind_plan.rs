//! What may be bound and given back, decided from what was seen.

use sysfs_pci::{DriverName, IommuGroupId, PciAddress, PciId};
use vfio_host::bind::{
    BindPlan, BindRecord, BindRefusal, BindRules, Claim, HostFacts, Look, ReleasePlan,
};
use vfio_host::{Group, Member, VfioDrivers};

const VF: PciId = PciId::new(0x8086, 0x1520);

fn name(text: &str) -> DriverName {
    text.parse().unwrap()
}

fn address() -> PciAddress {
    "0000:17:00.1".parse().unwrap()
}

fn member(address: &str, driver: Option<&str>) -> Member {
    Member {
        name: address.to_owned(),
        address: address.parse().ok(),
        driver: driver.map(name),
        driver_unreadable: false,
        vfio: false,
    }
}

/// A function on its own driver, alone in its group, of a physical function on its own driver.
fn look(driver: Option<&str>) -> Look {
    Look {
        address: address(),
        id: VF,
        driver: driver.map(name),
        pf: Some(("0000:17:00.0".parse().unwrap(), Some(name("igb")))),
        group: Some(Group {
            id: IommuGroupId::new(7),
            members: vec![member("0000:17:00.1", driver)],
        }),
        enabled: u32::from(driver == Some("igbvf")),
        has_node: driver == Some("vfio-pci"),
    }
}

fn host() -> HostFacts {
    HostFacts {
        driver_present: true,
        denylist_disabled: Some(false),
        iommu_present: true,
        no_iommu_mode: false,
    }
}

fn rules() -> BindRules {
    BindRules {
        driver: name("vfio-pci"),
        vfio: VfioDrivers::default().with(name("igb_vfio_pci")),
        ids: [VF].into(),
        denylisted: [].into(),
        take_from: [name("igbvf")].into(),
    }
}

fn refusal(look: &Look, host: HostFacts, rules: &BindRules, claim: &Claim) -> BindRefusal {
    BindPlan::new(look, host, rules, claim).unwrap_err()
}

#[test]
fn a_free_function_is_bound_from_no_driver_and_from_its_own() {
    for driver in [None, Some("igbvf")] {
        let plan = BindPlan::new(&look(driver), host(), &rules(), &Claim::None).unwrap();
        assert!(
            !plan.is_bound() && plan.address() == address(),
            "{driver:?}"
        );
    }
}

#[test]
fn one_that_is_bound_stays_whoever_holds_it() {
    let held = Claim::Held {
        by: "pod a".to_owned(),
    };
    for driver in ["vfio-pci", "igb_vfio_pci"] {
        let mut open = look(Some(driver));
        open.enabled = 1;
        assert!(
            BindPlan::new(&open, host(), &rules(), &held)
                .unwrap()
                .is_bound(),
            "{driver}"
        );
    }
}

#[test]
fn one_that_a_pod_holds_and_that_has_lost_its_driver_is_bound_again() {
    let held = Claim::Held {
        by: "pod a".to_owned(),
    };
    assert!(BindPlan::new(&look(None), host(), &rules(), &held).is_ok());
    let refused = refusal(&look(Some("igbvf")), host(), &rules(), &held);
    assert_eq!(refused.code(), "allocated");
}

#[test]
fn only_ids_that_the_caller_names_are_touched() {
    let mut other = look(None);
    other.id = PciId::new(0x10de, 0x1520);
    let refused = refusal(&other, host(), &rules(), &Claim::None);
    assert_eq!(refused.code(), "not-allowed");
    other.driver = Some(name("vfio-pci"));
    assert_eq!(
        refusal(&other, host(), &rules(), &Claim::None).code(),
        "not-allowed"
    );
}

#[test]
fn each_obstacle_is_an_error_of_its_own() {
    let fine = look(Some("igbvf"));
    let mut on_vfio = fine.clone();
    on_vfio.pf = Some(("0000:17:00.0".parse().unwrap(), Some(name("vfio-pci"))));
    let mut no_group = fine.clone();
    no_group.group = None;
    let mut shared = fine.clone();
    shared
        .group
        .as_mut()
        .unwrap()
        .members
        .push(member("0000:18:00.0", Some("e1000e")));
    let mut unbinding = look(None);
    (unbinding.enabled, unbinding.has_node) = (1, true);
    let foreign = look(Some("nvme"));
    let off = HostFacts {
        iommu_present: false,
        ..host()
    };
    let absent = HostFacts {
        driver_present: false,
        ..host()
    };
    let held = Claim::Held {
        by: "pod a/b".to_owned(),
    };

    for (look, host, claim, code, says) in [
        (
            &on_vfio,
            host(),
            &Claim::None,
            "pf-on-vfio",
            "bind 0000:17:00.0 to its own driver",
        ),
        (
            &no_group,
            host(),
            &Claim::None,
            "no-iommu-group",
            "although the machine has an IOMMU",
        ),
        (&no_group, off, &Claim::None, "no-iommu", "intel_iommu=on"),
        (
            &shared,
            host(),
            &Claim::None,
            "group-blocked",
            "0000:18:00.0 (e1000e)",
        ),
        (
            &unbinding,
            host(),
            &Claim::None,
            "unbinding",
            "waiting in the kernel",
        ),
        (
            &foreign,
            host(),
            &Claim::None,
            "foreign-driver",
            "bound to `nvme`",
        ),
        (
            &fine,
            absent,
            &Claim::None,
            "driver-missing",
            "modprobe vfio-pci",
        ),
        (&fine, host(), &held, "allocated", "pod a/b"),
    ] {
        let refused = refusal(look, host, &rules(), claim);
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
    }
}

#[test]
fn the_denylist_is_that_of_vfio_pci_and_names_the_parameter() {
    let denied = BindRules {
        denylisted: [VF].into(),
        ..rules()
    };
    let refused = refusal(&look(None), host(), &denied, &Claim::None);
    assert!(
        refused.to_string().contains("vfio-pci.disable_denylist=1"),
        "{refused}"
    );
    let off = HostFacts {
        denylist_disabled: Some(true),
        ..host()
    };
    assert!(BindPlan::new(&look(None), off, &denied, &Claim::None).is_ok());
    let variant = BindRules {
        driver: name("igb_vfio_pci"),
        ..denied
    };
    assert!(BindPlan::new(&look(None), host(), &variant, &Claim::None).is_ok());
}

#[test]
fn without_an_iommu_the_mode_of_the_kernel_decides() {
    let mut bare = look(None);
    bare.group = None;
    let mode = HostFacts {
        iommu_present: false,
        no_iommu_mode: true,
        ..host()
    };
    assert!(BindPlan::new(&bare, mode, &rules(), &Claim::None).is_ok());
}

#[test]
fn what_shares_the_group_harmlessly_does_not_matter() {
    let mut shared = look(Some("igbvf"));
    let members = &mut shared.group.as_mut().unwrap().members;
    members.push(member("0000:16:00.0", Some("pcieport")));
    members.push(member("0000:17:00.2", Some("vfio-pci")));
    members.push(member("0000:17:00.3", None));
    assert!(BindPlan::new(&shared, host(), &rules(), &Claim::None).is_ok());
}

#[test]
fn what_is_given_back_is_ours_and_free() {
    let record = || BindRecord {
        found_driver: Some(name("igbvf")),
        found_override: None,
        driver: name("vfio-pci"),
    };
    let release = |look: &Look, claim: &Claim| ReleasePlan::new(look, record(), claim).map(drop);
    assert_eq!(release(&look(Some("vfio-pci")), &Claim::None), Ok(()));
    // Half-way, as a crash leaves it.
    assert_eq!(release(&look(None), &Claim::None), Ok(()));
    assert_eq!(release(&look(Some("igbvf")), &Claim::None), Ok(()));

    let foreign = release(&look(Some("uio_pci_generic")), &Claim::None).unwrap_err();
    assert_eq!(foreign.code(), "foreign-driver");
    let mut open = look(Some("vfio-pci"));
    open.enabled = 1;
    assert_eq!(release(&open, &Claim::None), Err(BindRefusal::Open));
    let unknown = Claim::Unknown {
        why: "the kubelet is silent".to_owned(),
    };
    let refused = release(&look(Some("vfio-pci")), &unknown).unwrap_err();
    assert_eq!(refused.code(), "use-unknown");
    let held = Claim::Held {
        by: "pod".to_owned(),
    };
    assert_eq!(
        release(&look(Some("vfio-pci")), &held).unwrap_err().code(),
        "allocated"
    );
}
