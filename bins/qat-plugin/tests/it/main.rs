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
