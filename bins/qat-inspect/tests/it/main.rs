//! What the inspector prints, on simulated machines.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "`allow-unwrap-in-tests` does not reach helpers outside of `#[test]` functions"
)]

mod check;
mod commands;
mod consumers;
mod faults;
mod known;
mod variants;

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use insta::assert_snapshot;
use node_sim::{Change, Machine, Profile};

/// Runs `qat-inspect list` on the node below `root`.
fn list(root: &Path, args: &[&str]) -> Command {
    inspect("list", root, args)
}

/// What the kernel of a simulated machine calls its boot.
const BOOT: &str = "00000000-0000-4000-8000-000000000000";

/// Every place that the inspector reads is below `root`, but for those that `args` name: a test looks only at what it made. There is
/// no kubelet.
fn inspect(question: &str, root: &Path, args: &[&str]) -> Command {
    let proc = root.join("proc");
    let boot = proc.join("sys/kernel/random/boot_id");
    // A test may ask about a machine that is not there.
    if root.exists() && !boot.exists() {
        fs::create_dir_all(proc.join("sys/kernel/random")).unwrap();
        fs::write(boot, BOOT).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_qat-inspect"));
    command.env_clear().arg(question);
    for (flag, path) in [
        ("--sysfs-root", "sys"),
        ("--dev-root", "dev"),
        ("--state-dir", "state"),
        ("--proc-root", "proc"),
        ("--firmware-dir", "firmware"),
        ("--cdi-dir", "cdi"),
        ("--kubelet-dir", "no-kubelet/device-plugins"),
    ] {
        if !args.iter().any(|arg| arg.starts_with(flag)) {
            command.arg(format!("{flag}={}", root.join(path).display()));
        }
    }
    let names_functions = ["groups", "show"].contains(&question);
    if names_functions && !args.iter().any(|arg| arg.starts_with("--pci-ids")) {
        command.arg("--pci-ids=/nowhere");
    }
    command.args(args);
    command
}

/// What it prints for a machine, without the temporary path.
fn listing(machine: Machine, args: &[&str]) -> String {
    let dir = node_sim::scratch().unwrap();
    machine.write(dir.path()).unwrap();
    let assert = list(dir.path(), args).assert().success();
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    text.replace(&dir.path().display().to_string(), "ROOT")
}

/// A node with a trouble of each kind.
fn troubled() -> Machine {
    let machine = Machine::profile(Profile::X420xx);
    let vfs = machine.vfs();
    let pf = machine.pfs()[1];
    machine
        .with(Change::Driver {
            address: vfs[0],
            driver: None,
        })
        .with(Change::Driver {
            address: vfs[1],
            driver: Some("uio_pci_generic"),
        })
        .with(Change::NoNode(vfs[2]))
        .with(Change::NicInGroup {
            of: vfs[3],
            driver: Some("ixgbe"),
        })
        .with(Change::SharedGroup {
            a: vfs[4],
            b: vfs[5],
        })
        .with(Change::Garbage {
            address: vfs[6],
            attribute: "modalias",
            bytes: b"garbage",
        })
        .with(Change::NoIommuGroup(vfs[7]))
        .with(Change::NoVfs(pf))
}

#[test]
fn a_node_with_a_trouble_of_each_kind() {
    assert_snapshot!(listing(troubled(), &[]));
}

#[test]
fn a_node_with_denylisted_vfs() {
    assert_snapshot!(listing(
        Machine::profile(Profile::C3xxx).with(Change::Denylist(true)),
        &[]
    ));
}

#[test]
fn a_guest_as_json() {
    assert_snapshot!(listing(Machine::profile(Profile::Guest4xxx), &["--json"]));
}

#[test]
fn both_spellings() {
    let machine = || {
        let machine = Machine::profile(Profile::X401xx);
        let pfs = machine.pfs();
        machine.with_each(pfs, |pf| Change::Services { pf, text: "dc;sym" })
    };
    assert!(listing(machine(), &[]).contains("qat.intel.com/sym-dc: 64"));
    let as_read = listing(machine(), &["--resource-names=as-read"]);
    assert!(as_read.contains("qat.intel.com/dc-sym: 64"), "{as_read}");
}

#[test]
fn the_flags_of_the_plugin_give_the_view_of_the_plugin() {
    let machine = || Machine::profile(Profile::C62x);
    let capped = listing(machine(), &["--max-num-devices=32"]);
    assert!(capped.contains("48 VFs: 32 offered"), "{capped}");
    assert!(capped.contains("beyond-cap (16 VFs"), "{capped}");
    let other = listing(machine(), &["--kernel-vf-drivers=4xxxvf"]);
    assert!(other.contains("48 VFs: 0 offered"), "{other}");
    let on_uio = || machine().with(Change::AllVfsOn(Some("igb_uio")));
    let usual = listing(on_uio(), &[]);
    assert!(usual.contains("foreign-driver (48 VFs"), "{usual}");
    let uio = listing(on_uio(), &["--dpdk-driver=igb_uio"]);
    assert!(uio.contains("48 VFs: 48 offered"), "{uio}");
}

#[test]
fn a_machine_without_qat_is_said_plainly() {
    assert_eq!(
        listing(Machine::new(), &[]),
        "no QAT devices on this machine\n"
    );
    let look_alikes = Machine::new().with(Change::LookAlikes);
    assert_eq!(
        listing(look_alikes, &[]),
        "no QAT devices on this machine\n"
    );
}

#[test]
fn a_wrong_root_ends_with_2_and_names_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let assert = list(dir.path(), &[]).assert().code(2);
    let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(text.contains("bus/pci/devices"), "{text}");
}
