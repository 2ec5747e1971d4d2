//! The command line of the daemon: what it says and how it ends before it touches anything.
#![forbid(unsafe_code)]

use std::fs;

use assert_cmd::Command;

/// The binary with an empty environment.
fn plugin(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qat-plugin"));
    command.env_clear().args(args);
    command
}

#[test]
fn help_names_every_flag_and_variable_of_the_go_plugin() {
    let output = plugin(&["--help"])
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    let text = String::from_utf8(output).unwrap();
    for part in [
        "--dpdk-driver",
        "DPDK_DRIVER",
        "--kernel-vf-drivers",
        "KERNEL_VF_DRIVERS",
        "--max-num-devices",
        "MAX_NUM_DEVICES",
        "--allocation-policy",
        "VERBOSITY",
        "Exit codes",
    ] {
        assert!(text.contains(part), "{part} is not in the help:\n{text}");
    }
}

#[test]
fn an_unknown_flag_is_named_and_ends_with_2() {
    let assert = plugin(&["-no-such-flag"]).assert().code(2);
    let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(text.contains("-n"), "{text}");
}

#[test]
fn every_problem_is_listed_and_nothing_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let root = format!("--sysfs-root={}", dir.path().display());
    let assert = plugin(&["-max-num-devices", "-1", "-allocation-policy=", &root])
        .assert()
        .code(2);
    let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    for part in [
        "-max-num-devices",
        "-allocation-policy",
        "--sysfs-root",
        "nothing was touched",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("INFO"), "{text}");
}

#[test]
fn a_bad_log_filter_is_a_configuration_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("bus/pci/devices")).unwrap();
    let root = format!("--sysfs-root={}", dir.path().display());
    let assert = plugin(&[&root])
        .env("RUST_LOG", "qat=loud")
        .assert()
        .code(2);
    let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(text.contains("RUST_LOG"), "{text}");
}

#[test]
fn a_configuration_is_checked_without_a_machine() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        let output = plugin(&["config", "check", file.to_str().unwrap()])
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = check("version: 1\npools:\n  - cdi: spec\nhealth: { falls: 5 }\n");
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("fine") && text.contains("heartbeats: checked"),
        "{text}"
    );
    for (bad, says) in [
        ("version: 1\npoools: []\n", "unknown field `poools`"),
        ("version: 2\n", "version 2"),
        ("version: 1\npools:\n  - name: x\n", "config.yaml"),
        (
            "version: 1\nhealth: { quiet: never }\n",
            "`never` is no time",
        ),
    ] {
        let (code, text) = check(bad);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn a_patch_is_printed() {
    let output = plugin(&["extended-resource", "remove", "cy", "--node=n"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("/status/capacity/qat.intel.com~1cy"),
        "{text}"
    );
    let output = plugin(&["extended-resource", "add", "cy", "--node=n"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_holds_is_shown_with_where_it_is_from() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("bus/pci/devices")).unwrap();
    let file = dir.path().join("config.yaml");
    let text = "version: 1\noffer: { allocationPolicy: packed }\npools:\n  - name: fast\n    select: { vfs: 0-7 }\n    cdi: spec\n";
    fs::write(&file, text).unwrap();
    let output = plugin(&["--max-num-devices=3"])
        .arg(format!("--sysfs-root={}", dir.path().display()))
        .arg(format!("--config={}", file.display()))
        .args(["config", "show"])
        .env("VERBOSITY", "2")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let has = |key: &str, from: &str, value: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        let line = line.unwrap_or_else(|| panic!("no {key} in {text}"));
        assert!(line.contains(from) && line.ends_with(value), "{line}");
    };
    has("offer.maxDevices", "-max-num-devices", "3");
    has("offer.allocationPolicy", "file", "packed");
    has("offer.resourceNames", "default", "canonical");
    has("admin.verbosity", "VERBOSITY (for -v)", "2");
    has("health.quiet", "default", "60s");
    has(
        "pool fast (VFs 0-7)",
        "cdi spec, allocationPolicy packed",
        "QAT",
    );
    has(
        "every other pool",
        "cdi off, allocationPolicy packed",
        "QAT",
    );
}
