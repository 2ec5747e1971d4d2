//! `qat-plugin provision` as it is shipped: from nothing to all, and back.

use std::collections::BTreeMap;
use std::fs::{create_dir_all, read_dir, remove_dir_all, write};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use sysfs_pci::PciAddress;
use vfio_host::StateDir;

use super::{GEN4, cases};
use crate::guest::{Guest, at, note, wait_until};
use crate::holder::Holder;

cases![
    from_nothing_to_all_vfs_of_four_pfs_and_back,
    what_is_bound_is_bound_again_after_the_way_back,
    a_pf_with_an_open_vf_is_left_alone,
    a_busy_device_is_tried_again_and_left_as_it_was,
    firmware_that_does_not_start_is_named_and_undone,
    vfs_are_removed_where_the_kernel_does_not_take_0,
    a_removal_that_hangs_is_told_and_not_waited_for,
    where_only_the_bus_is_mounted_the_missing_mount_is_named,
    killed_at_any_event_it_goes_on_and_goes_back,
];

/// The first PF.
const GEN4_TEXT: &str = "0000:6b:00.0";

/// Where records are in these cases.
const STATE: &str = "/tmp/state";

/// The PFs of the machine.
fn pfs() -> [PciAddress; 4] {
    [
        "0000:6b:00.0",
        "0000:70:00.0",
        "0000:75:00.0",
        "0000:7a:00.0",
    ]
    .map(at)
}

struct Run {
    code: Option<i32>,
    text: String,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new("/bin/qat-plugin");
    command
        .arg("provision")
        .args(args)
        .args(["--no-kubelet", "--state-dir", STATE])
        .stdin(Stdio::null());
    command
}

fn provision(args: &[&str]) -> Run {
    let output = command(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Run {
        code: output.status.code(),
        text: String::from_utf8(text).unwrap(),
    }
}

/// Must end with this code.
fn ends_with(code: i32, args: &[&str]) -> String {
    let run = provision(args);
    assert_eq!(run.code, Some(code), "{args:?}: {}", run.text);
    run.text
}

/// What can be seen of the PFs and their VFs.
fn picture(guest: &Guest) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for pf in pfs() {
        for name in [
            "qat/state",
            "qat/cfg_services",
            "qat/auto_reset",
            "sriov_numvfs",
            "sriov_drivers_autoprobe",
        ] {
            seen.insert(format!("{pf} {name}"), guest.read(pf, name));
        }
        for vf in guest.vfs(pf) {
            let driver = sysfs_pci::driver(&guest.host.sysfs, vf).unwrap();
            seen.insert(format!("{vf} driver"), format!("{driver:?}"));
            seen.insert(format!("{vf} override"), guest.read(vf, "driver_override"));
        }
    }
    seen
}

fn records() -> usize {
    let count = |kind: &str| read_dir(Path::new(STATE).join(kind)).map_or(0, Iterator::count);
    count("devices") + count("binds")
}

/// All VFs of these PFs can be handed out.
fn all_usable(guest: &Guest, pfs: &[PciAddress]) {
    for pf in pfs {
        let vfs = guest.vfs(*pf);
        assert_eq!(vfs.len(), 16, "{pf}");
        for vf in vfs {
            guest.host.recheck(vf, None).unwrap();
        }
    }
}

/// No VFs, compression, no automatic reset.
fn bare(guest: &Guest) -> BTreeMap<String, String> {
    for pf in pfs() {
        guest.write(pf, "qat/state", "down").unwrap();
        guest.write(pf, "qat/cfg_services", "dc").unwrap();
        guest.write(pf, "qat/state", "up").unwrap();
        guest.write(pf, "qat/auto_reset", "off").unwrap();
    }
    let _records_of_before = remove_dir_all(STATE);
    picture(guest)
}

fn from_nothing_to_all_vfs_of_four_pfs_and_back(guest: &Guest) {
    let before = bare(guest);
    let wanted = ["--services=sym;asym", "--auto-reset=on"];
    let plan = ends_with(0, &[&wanted[..], &["--dry-run"]].concat());
    assert!(plan.contains("services    dc -> asym;sym"), "{plan}");
    assert_eq!(picture(guest), before);

    let start = Instant::now();
    ends_with(0, &wanted);
    note(&format!(
        "64 VFs of four PFs are provisioned in {} ms",
        start.elapsed().as_millis()
    ));
    all_usable(guest, &pfs());
    for pf in pfs() {
        assert_eq!(guest.read(pf, "qat/cfg_services"), "asym;sym");
        assert_eq!(guest.read(pf, "sriov_drivers_autoprobe"), "1");
    }

    let there = picture(guest);
    let again = ends_with(
        5,
        &[&wanted[..], &["--detailed-exit-code", "--json"]].concat(),
    );
    assert!(!again.contains("begins"), "a command was given: {again}");
    assert_eq!(picture(guest), there);

    ends_with(0, &["--undo"]);
    assert_eq!(picture(guest), before);
    assert_eq!(records(), 0);
}

fn what_is_bound_is_bound_again_after_the_way_back(guest: &Guest) {
    bare(guest);
    ends_with(0, &[]);
    let _the_way_back_is_to_here = remove_dir_all(STATE);
    let before = picture(guest);
    ends_with(0, &["--services=sym"]);
    all_usable(guest, &pfs());
    ends_with(0, &["--undo"]);
    assert_eq!(picture(guest), before);
    all_usable(guest, &pfs());
}

fn a_pf_with_an_open_vf_is_left_alone(guest: &Guest) {
    bare(guest);
    ends_with(0, &[]);
    let vf = guest.vfs(GEN4)[7];
    let holder = Holder::of(vf);
    let text = ends_with(3, &["--services=sym"]);
    assert!(
        text.contains(&format!("{vf} (open in exe (process ")),
        "{text}"
    );
    assert_eq!(guest.read(GEN4, "qat/cfg_services"), "dc");
    assert_eq!(guest.read(pfs()[1], "qat/cfg_services"), "sym");
    ends_with(4, &["--vfs=none", "--pf", GEN4_TEXT]);
    all_but_one(guest, vf);
    holder.let_go();
    ends_with(0, &["--services=sym"]);
    all_usable(guest, &pfs());
}

fn all_but_one(guest: &Guest, open: PciAddress) {
    for vf in guest.vfs(GEN4).into_iter().filter(|vf| *vf != open) {
        guest.host.recheck(vf, None).unwrap();
    }
}

fn knob(pf: PciAddress, name: &str, value: &str) {
    write(format!("/sys/kernel/debug/fakeqat/{pf}/{name}"), value).unwrap();
}

fn a_busy_device_is_tried_again_and_left_as_it_was(guest: &Guest) {
    let before = bare(guest);
    knob(GEN4, "busy", "1");
    let text = ends_with(1, &["--services=sym", "--pf", GEN4_TEXT]);
    knob(GEN4, "busy", "0");
    assert!(
        text.contains("again: ") && text.contains("cryptography"),
        "{text}"
    );
    assert_eq!(picture(guest), before);
    assert_eq!(records(), 0);
}

fn firmware_that_does_not_start_is_named_and_undone(guest: &Guest) {
    let before = bare(guest);
    knob(GEN4, "start_fails", "1");
    let text = ends_with(1, &["--services=sym", "--pf", GEN4_TEXT]);
    assert!(
        text.contains("firmware") && text.contains("are undone"),
        "{text}"
    );
    assert_eq!(picture(guest), before);
    assert_eq!(records(), 0);
}

fn vfs_are_removed_where_the_kernel_does_not_take_0(guest: &Guest) {
    let before = bare(guest);
    ends_with(0, &["--pf", GEN4_TEXT]);
    write("/sys/module/fakeqat/parameters/legacy", "Y").unwrap();
    let refused = guest.write(GEN4, "sriov_numvfs", "0").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(22), "{refused}");
    ends_with(0, &["--vfs=none", "--pf", GEN4_TEXT]);
    write("/sys/module/fakeqat/parameters/legacy", "N").unwrap();
    assert_eq!(picture(guest), before);
}

/// Somebody else's write to `sriov_numvfs` waits for the user of a VF.
fn a_removal_that_hangs_is_told_and_not_waited_for(guest: &Guest) {
    bare(guest);
    ends_with(0, &["--pf", GEN4_TEXT]);
    let vf = guest.vfs(GEN4)[0];
    let holder = Holder::of(vf);
    let mut foreign = Command::new("/bin/sh")
        .args([
            "-c",
            "echo 0 > /sys/bus/pci/devices/0000:6b:00.0/sriov_numvfs",
        ])
        .spawn()
        .unwrap();
    wait_until("the removal has begun", || guest.vfs(GEN4).is_empty());
    let start = Instant::now();
    let text = ends_with(4, &["--pf", GEN4_TEXT]);
    assert!(text.contains("of its 16 VFs"), "{text}");
    note(&format!("refused after {} ms", start.elapsed().as_millis()));
    holder.let_go();
    foreign.wait().unwrap();
    ends_with(0, &["--pf", GEN4_TEXT]);
    all_usable(guest, &[GEN4]);
}

/// The mounts of the Go plugin's manifests: a sysfs of the container's own, read-only, and the host's
/// `/sys/bus/pci` in it.
fn where_only_the_bus_is_mounted_the_missing_mount_is_named(guest: &Guest) {
    let before = bare(guest);
    let root = "/tmp/container-sys";
    create_dir_all(root).unwrap();
    for args in [
        &["-t", "sysfs", "-o", "ro", "sysfs", root][..],
        &["-o", "bind", "/sys/bus/pci", &format!("{root}/bus/pci")],
    ] {
        let mounted = Command::new("/bin/busybox")
            .arg("mount")
            .args(args)
            .status();
        assert!(mounted.unwrap().success(), "{args:?}");
    }
    let there = ["--sysfs-root", root, "--pf", GEN4_TEXT];
    // Services and VFs are behind links that lead to the container's own, read-only view.
    let text = ends_with(1, &[&there[..], &["--services=sym"]].concat());
    assert!(text.contains("mount the host's whole /sys"), "{text}");
    assert_eq!(picture(guest), before);

    // VFs that are there can be unbound and bound, but not given to a driver that does not know them.
    guest.make_vfs(GEN4);
    let text = ends_with(3, &there);
    assert!(
        text.contains("mount the host's whole /sys (not only /sys/bus/pci)"),
        "{text}"
    );
    let vfs = guest.vfs(GEN4);
    for vf in &vfs {
        assert_eq!(guest.read(*vf, "driver_override"), "(null)");
    }
    // Somebody has set the override, as an init container does: then it works as for the Go plugin.
    for vf in &vfs {
        guest.write(*vf, "driver_override", "vfio-pci").unwrap();
    }
    ends_with(0, &there);
    all_usable(guest, &[GEN4]);
    let unmounted = Command::new("/bin/busybox")
        .args(["umount", "-l", root])
        .status();
    assert!(unmounted.unwrap().success());
    ends_with(0, &["--vfs=none", "--pf", GEN4_TEXT]);
}

fn killed_at_any_event_it_goes_on_and_goes_back(guest: &Guest) {
    let args = ["--services=sym;asym", "--auto-reset=on", "--pf", GEN4_TEXT];
    let mut lines = 1;
    loop {
        let before = bare(guest);
        let mut child = command(&[&args[..], &["--json"]].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = reader.by_ref().take(lines).map_while(Result::ok).count();
        child.kill().unwrap();
        child.wait().unwrap();
        // The worker that outlives it has the lock until the kernel returns.
        wait_until("its lock is free", || lock_is_free(GEN4));

        let what = format!("killed after {lines} lines");
        let run = provision(&args);
        assert_eq!(run.code, Some(0), "{what}: {}", run.text);
        all_usable(guest, &[GEN4]);
        let undo = provision(&["--undo"]);
        assert_eq!(undo.code, Some(0), "{what}: {}", undo.text);
        assert_eq!(picture(guest), before, "{what}");
        assert_eq!(records(), 0, "{what}");
        if seen < lines {
            break;
        }
        // Each VF is a line; some of them are enough.
        lines += if (12..28).contains(&lines) { 5 } else { 1 };
    }
    note(&format!("killed after each of {lines} events"));
}

fn lock_is_free(pf: PciAddress) -> bool {
    let state = StateDir::open(STATE).unwrap();
    state.lock(pf, "a case").is_ok()
}
