use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;

use clap::Parser as _;
use qat_policy::PoolName;

use super::*;
use crate::compat::translate;

fn resolve_with(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let typed = ["qat-plugin"].iter().chain(args).map(OsString::from);
    let args = Line::try_parse_from(translate(typed).line).unwrap();
    let lookup = |name: &str| {
        env.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    resolve(&args, &lookup)
}

fn problems(args: &[&str], env: &[(&str, &str)]) -> String {
    resolve_with(args, env).unwrap_err().problems.join("\n")
}

/// A sysfs root that passes the check, for as long as it lives.
fn sysfs() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("bus/pci/devices")).unwrap();
    let flag = format!("--sysfs-root={}", dir.path().display());
    (dir, flag)
}

#[test]
fn defaults_are_every_family_and_no_cap() {
    let (_dir, root) = sysfs();
    let settings = resolve_with(&[&root], &[]).unwrap();
    assert_eq!(settings.wishes.rules.families.len(), Family::all().len());
    assert_eq!(settings.wishes.rules.cap, None);
    assert_eq!(
        settings.wishes.pools.of(&PoolName::generic()).policy,
        AllocationPolicy::None
    );
    assert_eq!(settings.pace, Pace::AsNeeded);
    assert!(settings.warnings.is_empty());
}

#[test]
fn debugfs_follows_sysfs() {
    let (dir, root) = sysfs();
    let settings = resolve_with(&[&root], &[]).unwrap();
    assert_eq!(
        settings.roots.debugfs.path(),
        dir.path().join("kernel/debug")
    );
}

#[test]
fn the_articles_arguments_are_understood() {
    let (_dir, root) = sysfs();
    let args = [
        "-dpdk-driver",
        "vfio-pci",
        "-kernel-vf-drivers",
        "dh895xccvf,c6xxvf,c3xxxvf,d15xxvf",
        "-max-num-devices",
        "32",
        "-v",
        "1",
        &root,
    ];
    let settings = resolve_with(&args, &[]).unwrap();
    assert_eq!(settings.wishes.rules.families.len(), 4);
    assert_eq!(settings.wishes.rules.cap.map(NonZeroUsize::get), Some(32));
    assert_eq!(settings.verbosity, 1);
}

#[test]
fn the_environment_alone_is_enough_and_flags_win() {
    let (_dir, root) = sysfs();
    let env = [
        ("DPDK_DRIVER", "vfio-pci"),
        ("KERNEL_VF_DRIVERS", "c6xxvf"),
        ("MAX_NUM_DEVICES", "7"),
        ("VERBOSITY", "4"),
    ];
    let settings = resolve_with(&[&root], &env).unwrap();
    assert_eq!(settings.wishes.rules.families.len(), 1);
    assert_eq!(settings.wishes.rules.cap.map(NonZeroUsize::get), Some(7));
    assert_eq!(settings.verbosity, 4);
    let settings = resolve_with(&[&root, "-max-num-devices", "9"], &env).unwrap();
    assert_eq!(settings.wishes.rules.cap.map(NonZeroUsize::get), Some(9));
}

#[test]
fn igb_uio_is_taken_with_a_warning() {
    let (_dir, root) = sysfs();
    let wanted: VfDrivers = "igb_uio".parse().unwrap();
    let typed = resolve_with(&["-dpdk-driver=igb_uio", &root], &[]).unwrap();
    assert_eq!(typed.wishes.rules.drivers, wanted);
    let set = resolve_with(&[&root], &[("DPDK_DRIVER", "igb_uio")]).unwrap();
    assert_eq!(set.wishes.rules.drivers, wanted);
    for settings in [typed, set] {
        assert_eq!(settings.warnings.len(), 1);
        assert!(settings.warnings[0].contains("no IOMMU protects this node"));
        let binding = settings.binding.unwrap();
        assert_eq!(binding.rules.driver.as_str(), "igb_uio");
    }
    let usual = resolve_with(&[&root], &[]).unwrap();
    assert_eq!(usual.wishes.rules.drivers, VfDrivers::default());
    assert_eq!(usual.warnings, [""; 0]);
}

#[test]
fn a_literal_reference_is_named_and_the_default_used() {
    let (_dir, root) = sysfs();
    let args = [
        "-dpdk-driver",
        "$(DPDK_DRIVER)",
        "-max-num-devices",
        "$(MAX_NUM_DEVICES)",
        &root,
    ];
    let settings = resolve_with(&args, &[]).unwrap();
    assert_eq!(settings.wishes.rules.cap, None);
    assert_eq!(settings.warnings.len(), 2);
    assert!(settings.warnings[0].contains("the ConfigMap lacks key DPDK_DRIVER"));
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = problems(
        &[
            "-dpdk-driver",
            "uio",
            "-kernel-vf-drivers",
            "4xxxvf,nonsense",
            "-max-num-devices",
            "-1",
            "-allocation-policy",
            "",
            "-v",
            "loud",
            "--resource-names",
            "mine",
            "--rescan-interval",
            "never",
            "--log-format",
            "xml",
            "--sysfs-root",
            "/nonexistent",
        ],
        &[],
    );
    for part in [
        "-dpdk-driver: unknown driver `uio`",
        "nonsense",
        "-max-num-devices: `-1`",
        "-allocation-policy: unknown allocation policy ``",
        "balanced",
        "-v: `loud`",
        "--resource-names: ",
        "`mine`",
        "--rescan-interval: `never`",
        "`xml`",
        "/nonexistent",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn bad_values_name_the_variable_they_came_from() {
    let (_dir, root) = sysfs();
    let text = problems(&[&root], &[("MAX_NUM_DEVICES", "many")]);
    assert!(
        text.starts_with("MAX_NUM_DEVICES (for -max-num-devices): `many`"),
        "{text}"
    );
    let text = problems(&[&root, "-max-num-devices", "0"], &[]);
    assert!(text.contains("at least 1"), "{text}");
}

#[test]
fn blanks_and_line_ends_around_a_value_are_left_out() {
    let (_dir, root) = sysfs();
    let env = [
        ("DPDK_DRIVER", "vfio-pci\n"),
        ("KERNEL_VF_DRIVERS", " c6xxvf, 4xxxvf \n"),
        ("MAX_NUM_DEVICES", "7\n"),
    ];
    let settings = resolve_with(&[&root, "-allocation-policy", " packed\n"], &env).unwrap();
    assert_eq!(settings.wishes.rules.families.len(), 4);
    assert_eq!(
        settings.wishes.pools.of(&PoolName::generic()).policy,
        AllocationPolicy::Packed
    );
}

#[test]
fn the_last_of_a_repeated_flag_counts() {
    let (_dir, root) = sysfs();
    let args = [
        "-v",
        "1",
        &root,
        "-v=3",
        "-max-num-devices",
        "1",
        "-max-num-devices=64",
    ];
    let settings = resolve_with(&args, &[]).unwrap();
    assert_eq!(settings.verbosity, 3);
    assert_eq!(settings.wishes.rules.cap.map(NonZeroUsize::get), Some(64));
}

#[test]
fn a_literal_reference_in_a_root_is_named_too() {
    let (_dir, root) = sysfs();
    let args = [&root, "-kubelet-dir=$(KUBELET_DIR)", "--dev-root", "$(DEV)"];
    let settings = resolve_with(&args, &[]).unwrap();
    assert_eq!(
        settings.roots.kubelet.path(),
        Roots::default().kubelet.path()
    );
    assert_eq!(settings.warnings.len(), 2);
    assert!(
        settings.warnings[1].contains("KUBELET_DIR"),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn the_pod_resources_socket_is_beside_the_kubelets_directory_unless_it_is_named() {
    let (_dir, root) = sysfs();
    let socket = |args: &[&str]| {
        let args = [&[root.as_str()], args].concat();
        let roots = resolve_with(&args, &[]).unwrap().roots;
        roots.pod_resources.to_str().unwrap().to_owned()
    };
    assert_eq!(socket(&[]), "/var/lib/kubelet/pod-resources/kubelet.sock");
    let moved = "--kubelet-dir=/k0s/device-plugins";
    assert_eq!(socket(&[moved]), "/k0s/pod-resources/kubelet.sock");
    assert_eq!(socket(&[moved, "-pod-resources-socket=/p.sock"]), "/p.sock");
}

#[test]
fn a_directory_whose_sockets_would_have_too_long_a_path_is_refused() {
    let (_dir, root) = sysfs();
    let long = format!("--kubelet-dir=/{}", "k".repeat(80));
    let text = problems(&[&root, &long], &[]);
    assert!(text.starts_with("--kubelet-dir: "), "{text}");
    assert!(text.contains("81 bytes"), "{text}");
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let (dir, root) = sysfs();
    let file = dir.path().join("config.yaml");
    fs::write(
        &file,
        "version: 1
offer: { maxDevices: 8, allocationPolicy: packed, families: [c62x] }
admin: { verbosity: 2 }
health: { falls: 5 }
overrides:
  - nodes: [edge-*]
    admin: { verbosity: 3 }
",
    )
    .unwrap();
    let file = format!("--config={}", file.display());
    let from = |args: &[&str], env: &[(&str, &str)], key: &str| {
        let args = [&[root.as_str(), &file], args].concat();
        let told = resolve_with(&args, env).unwrap().told;
        let told = told.iter().find(|told| told.key == key).unwrap();
        (told.value.clone(), told.from.clone())
    };
    let is = |value: &str, from: &str| (value.to_owned(), from.to_owned());
    let cap = "offer.maxDevices";
    let env = ("MAX_NUM_DEVICES", "7");
    assert_eq!(from(&[], &[], cap), is("8", "file"));
    let variable = "MAX_NUM_DEVICES (for -max-num-devices)";
    assert_eq!(from(&[], &[env], cap), is("7", variable));
    let flag = ["-max-num-devices=6"];
    assert_eq!(from(&flag, &[env], cap), is("6", "-max-num-devices"));
    assert_eq!(from(&[], &[], "offer.families"), is("c62x", "file"));
    assert_eq!(from(&[], &[], "health.falls"), is("5", "file"));
    assert_eq!(from(&[], &[], "health.goodChecks"), is("3", "default"));
    let node = [("NODE_NAME", "edge-1")];
    assert_eq!(from(&[], &node, "admin.verbosity"), is("3", "file"));
    assert_eq!(from(&[], &[], "admin.verbosity"), is("2", "file"));
    // A literal that the kubelet has left stands for nothing, so the file has its say.
    let literal = ["-max-num-devices=$(MAX_NUM_DEVICES)"];
    assert_eq!(from(&literal, &[], cap), is("8", "file"));
    let unnamed = resolve_with(&[&root, &file], &[]).unwrap();
    assert!(
        unnamed.warnings[0].contains("NODE_NAME"),
        "{:?}",
        unnamed.warnings
    );
}

#[test]
fn what_the_file_has_for_hardware_goes_by_the_ids_of_the_machine() {
    let (dir, root) = sysfs();
    let file = dir.path().join("config.yaml");
    let text = "version: 1
overrides:
  - { hardware: [4xxx], offer: { maxDevices: 4 } }
  - { hardware: [c62x], offer: { maxDevices: 2 } }
";
    fs::write(&file, text).unwrap();
    let file = format!("--config={}", file.display());
    let cap = || {
        let settings = resolve_with(&[&root, &file], &[]).unwrap();
        settings.wishes.rules.cap.map(NonZeroUsize::get)
    };
    assert_eq!(cap(), None);
    for (name, id) in [("0000:00:1f.0", "1520"), ("0000:6b:00.0", "4940")] {
        let function = dir.path().join("bus/pci/devices").join(name);
        fs::create_dir(&function).unwrap();
        let line = format!("pci:v00008086d0000{id}sv00008086sd00000000bc0Bsc40i00\n");
        fs::write(function.join("modalias"), line).unwrap();
    }
    assert_eq!(cap(), Some(4));
}
