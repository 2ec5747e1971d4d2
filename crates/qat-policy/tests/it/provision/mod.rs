//! Plans: what they do, and what they refuse.

mod model;

use qat_policy::provision::{
    Cause, DeviceState, PfGoal, PfState, PfStep, VfDriver, VfState, VfUse, VfsGoal, changes,
    explain, plan,
};
use qat_policy::{Family, ServiceSet, Services};
use sysfs_pci::{DriverName, PciAddress};

const FREE: VfUse = VfUse::Free;

fn address(text: &str) -> PciAddress {
    text.parse().unwrap()
}

fn driver(text: &str) -> DriverName {
    text.parse().unwrap()
}

fn set(text: &str) -> ServiceSet {
    text.parse().unwrap()
}

fn vf(number: u8, driver_name: Option<&str>, usage: VfUse) -> VfState {
    VfState {
        address: PciAddress::new(0, 0x6b, 1 + number / 8, number % 8).unwrap(),
        driver: driver_name.map(driver),
        usage,
    }
}

/// A PF of generation 4 with all its VFs on `vfio-pci`, or with none.
fn pf(services: &str, with_vfs: bool) -> PfState {
    let vfs = if with_vfs { 16 } else { 0 };
    PfState {
        address: address("0000:6b:00.0"),
        family: Family::Gen4_4xxx,
        driver: Some(driver("4xxx")),
        total_vfs: Some(16),
        state: Some(DeviceState::Up),
        services: Ok(Some(Services::parse(services).unwrap())),
        auto_reset: Some(false),
        autoprobe: Some(true),
        vfs: (0..vfs)
            .map(|number| vf(number, Some("vfio-pci"), FREE))
            .collect(),
    }
}

fn goal(services: &str) -> PfGoal {
    PfGoal {
        services: Some(set(services)),
        auto_reset: Some(true),
        vfs: VfsGoal::All,
        driver: Some(VfDriver::VfioPci),
        autoprobe: None,
    }
}

fn steps(pf: &PfState, goal: &PfGoal) -> Vec<String> {
    plan(pf, goal)
        .unwrap()
        .steps
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn from_nothing_to_all() {
    assert_eq!(
        steps(&pf("dc", false), &goal("sym;asym")),
        [
            "stop the device",
            "configure asym;sym",
            "keep new VFs from drivers",
            "make 16 VFs",
            "set auto_reset on",
            "bind the VFs to vfio-pci",
            "give new VFs to drivers at once again",
        ]
    );
    let before = pf("dc", false);
    let plan = plan(&before, &goal("sym;asym")).unwrap();
    let text: Vec<_> = changes(&before, &plan)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        text,
        [
            "services    dc -> asym;sym",
            "auto_reset  off -> on",
            "VFs         0 -> 16",
            "VF driver   - -> vfio-pci (16)",
        ]
    );
}

#[test]
fn nothing_to_do_is_an_empty_plan() {
    let mut there = pf("asym;sym", true);
    there.auto_reset = Some(true);
    assert!(
        plan(&there, &goal("sym;asym")).unwrap().is_empty(),
        "sets, not words"
    );
    assert!(plan(&there, &PfGoal::default()).unwrap().is_empty());
}

#[test]
fn services_go_down_first_and_the_vfs_come_back_by_numvfs_not_by_up() {
    let steps = plan(&pf("dc", true), &goal("sym")).unwrap().steps;
    assert_eq!(
        steps[0],
        PfStep::State {
            to: DeviceState::Down
        }
    );
    assert!(steps.contains(&PfStep::CreateVfs { total: 16 }));
    assert!(!steps.contains(&PfStep::State {
        to: DeviceState::Up
    }));
    // Without VFs to make, `up` is what starts it.
    let bare = PfGoal {
        vfs: VfsGoal::Keep,
        ..goal("sym")
    };
    let steps = plan(&pf("dc", false), &bare).unwrap().steps;
    assert!(steps.contains(&PfStep::State {
        to: DeviceState::Up
    }));
}

#[test]
fn words_are_those_that_old_kernels_know() {
    let steps = plan(&pf("dc", false), &goal("asym;sym")).unwrap().steps;
    let words: Vec<_> = steps
        .iter()
        .filter_map(|step| step.command(address("0000:6b:00.0")))
        .map(|command| command.to_string())
        .collect();
    assert_eq!(
        words,
        [
            "echo 'down' > bus/pci/devices/0000:6b:00.0/qat/state",
            "echo 'sym;asym' > bus/pci/devices/0000:6b:00.0/qat/cfg_services",
            "echo '0' > bus/pci/devices/0000:6b:00.0/sriov_drivers_autoprobe",
            "echo '16' > bus/pci/devices/0000:6b:00.0/sriov_numvfs",
            "echo 'on' > bus/pci/devices/0000:6b:00.0/qat/auto_reset",
            "echo '1' > bus/pci/devices/0000:6b:00.0/sriov_drivers_autoprobe",
        ]
    );
}

#[test]
fn what_is_in_use_is_not_destroyed_and_is_named() {
    for (usage, says) in [
        (VfUse::Open { by: Vec::new() }, "fuser"),
        (
            VfUse::Open {
                by: vec!["qemu (process 4)".to_owned()],
            },
            "open in qemu (process 4)",
        ),
        (
            VfUse::Held {
                by: "pod a/b as qat.intel.com/dc".to_owned(),
            },
            "pod a/b",
        ),
        (
            VfUse::Unknown {
                why: "no kubelet".to_owned(),
            },
            "no kubelet",
        ),
    ] {
        let mut used = pf("dc", true);
        used.vfs[5].usage = usage;
        let refusal = plan(&used, &goal("sym")).unwrap_err();
        let text = refusal.to_string();
        assert!(
            text.contains("0000:6b:01.5") && text.contains(says),
            "{text}"
        );
        let none = PfGoal {
            vfs: VfsGoal::None,
            ..PfGoal::default()
        };
        assert_eq!(plan(&used, &none).unwrap_err().code(), "in-use");
        // What disturbs nobody goes on.
        assert_eq!(steps(&used, &goal("dc")), ["set auto_reset on"]);
    }
}

#[test]
fn vfs_without_a_vfio_driver_are_bound_and_no_others() {
    let mut mixed = pf("dc", true);
    mixed.vfs[3].driver = None;
    mixed.vfs[4].driver = Some(driver("4xxxvf"));
    mixed.vfs[5].driver = Some(driver("qat_vfio_pci"));
    let wanted = PfGoal {
        auto_reset: None,
        ..goal("dc")
    };
    let vfs = vec![mixed.vfs[3].address, mixed.vfs[4].address];
    let expected = PfStep::BindVfs {
        driver: VfDriver::VfioPci,
        vfs,
    };
    assert_eq!(plan(&mixed, &wanted).unwrap().steps, [expected]);

    mixed.vfs[3].driver = Some(driver("uio_pci_generic"));
    assert_eq!(plan(&mixed, &wanted).unwrap_err().code(), "foreign-vf");
}

#[test]
fn each_obstacle_is_a_sentence_of_its_own() {
    let fine = || pf("dc", false);
    let old = PfState {
        family: Family::C62x,
        driver: Some(driver("c6xx")),
        services: Ok(None),
        state: None,
        ..fine()
    };
    let cases: Vec<(PfState, PfGoal, &str, &str)> = vec![
        (
            PfState {
                driver: None,
                ..fine()
            },
            goal("sym"),
            "unbound",
            "qat_4xxx",
        ),
        (
            PfState {
                driver: Some(driver("vfio-pci")),
                ..fine()
            },
            goal("sym"),
            "wrong-driver",
            "bind it to `4xxx`",
        ),
        (
            PfState {
                total_vfs: None,
                ..fine()
            },
            goal("sym"),
            "sriov-off",
            "firmware",
        ),
        (
            PfState {
                vfs: vec![vf(0, None, FREE)],
                ..fine()
            },
            goal("sym"),
            "some-vfs",
            "1 of its 16",
        ),
        (old.clone(), goal("sym"), "fixed-services", "c62x"),
        (
            fine(),
            goal("asym;sym;dc"),
            "lacks-services",
            "it can: asym, sym,",
        ),
        (fine(), goal("decomp"), "lacks-services", "decomp"),
        (
            PfState {
                services: Ok(None),
                state: None,
                ..fine()
            },
            goal("sym"),
            "no-attribute",
            "6.0",
        ),
        (
            PfState {
                auto_reset: None,
                ..fine()
            },
            goal("dc"),
            "no-attribute",
            "auto_reset",
        ),
        (
            PfState {
                services: Err("EIO".to_owned()),
                ..fine()
            },
            goal("sym"),
            "services",
            "EIO",
        ),
    ];
    for (pf, goal, code, says) in cases {
        let refusal = plan(&pf, &goal).unwrap_err();
        assert_eq!(refusal.code(), code, "{refusal}");
        assert!(refusal.to_string().contains(says), "{refusal}");
    }
    // The old generations are provisioned all the same, without services.
    let bare = PfGoal {
        services: None,
        auto_reset: Some(false),
        ..goal("sym")
    };
    assert!(steps(&old, &bare).contains(&"make 16 VFs".to_owned()));
}

#[test]
fn answers_of_the_kernel_have_a_meaning() {
    let create = PfStep::CreateVfs { total: 16 };
    let down = PfStep::State {
        to: DeviceState::Down,
    };
    for (step, errno, cause) in [
        (&create, 16, Cause::Busy),
        (&create, 22, Cause::NeedsIommu),
        (&PfStep::RemoveVfs, 22, Cause::CannotRemove),
        (&create, 2, Cause::NoDriver),
        (&create, 12, Cause::NoRoom),
        (&create, 14, Cause::Firmware),
        (&create, 34, Cause::TooMany),
        (&down, 30, Cause::Forbidden),
        (&down, 22, Cause::AlreadyDown),
        (&PfStep::services(set("decomp")), 22, Cause::UnknownServices),
        (&down, 99, Cause::Other),
    ] {
        assert_eq!(explain(step, errno), cause, "{step} {errno}");
        assert_eq!(cause.may_pass(), errno == 16);
    }
}
