//! `qat-inspect check` on a machine that somebody has broken: it names each fault.

use std::fs::{create_dir_all, read, remove_file, rename, write};
use std::os::unix::net::UnixListener;
use std::process::Command;

use serde_json::{Value, json};
use sysfs_pci::PciAddress;

use super::{GEN2, GEN4, NO_ACS, cases};
use crate::guest::{Guest, wait_until};

cases![
    vfs_that_nobody_made,
    vfs_without_a_driver,
    a_vf_on_a_stub,
    vfs_on_the_denylist,
    a_node_that_is_gone,
    a_control_node_that_is_gone,
    a_group_with_a_driver_of_the_host,
    a_pf_on_vfio_pci,
    a_pf_without_a_driver,
    a_kubelet_that_is_down,
    a_plugin_that_is_dead,
    a_snapshot_says_what_its_machine_said,
];

const KUBELET: &str = "/var/lib/kubelet/device-plugins";

fn inspect(args: &[&str]) -> String {
    let output = Command::new("/bin/qat-inspect")
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.code() < Some(2),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// The names of what `check` finds under this number.
fn found(id: &str, more: &[&str]) -> Vec<String> {
    let args = [&["check", "--json", "--for=qatlib"], more].concat();
    let checkup: Value = serde_json::from_str(&inspect(&args)).unwrap();
    let findings = checkup["findings"].as_array().unwrap().iter();
    let these = findings.filter(|finding| finding["id"] == id);
    these
        .map(|finding| finding["name"].as_str().unwrap().to_owned())
        .collect()
}

fn names(id: &str, function: PciAddress) {
    let found = found(id, &["--no-kubelet"]);
    assert!(found.contains(&function.to_string()), "{id}: {found:?}");
}

/// Has the kernel bind a function to a driver, as a person would.
fn give(guest: &Guest, address: PciAddress, driver: &str) {
    take(guest, address);
    let line = format!("{driver}\n");
    guest.write(address, "driver_override", &line).unwrap();
    write("/sys/bus/pci/drivers_probe", address.to_string()).unwrap();
    assert!(guest.attribute(address, "driver").exists());
}

fn take(guest: &Guest, address: PciAddress) {
    if let Some(old) = sysfs_pci::driver(&guest.host.sysfs, address).unwrap() {
        let file = format!("/sys/bus/pci/drivers/{old}/unbind");
        write(file, address.to_string()).unwrap();
    }
    guest.write(address, "driver_override", "\n").unwrap();
}

fn vfs_that_nobody_made(guest: &Guest) {
    guest.remove_vfs(GEN4);
    names("QAT004", GEN4);
}

fn vfs_without_a_driver(guest: &Guest) {
    let vfs = guest.make_vfs(GEN4);
    names("QAT012", vfs[0]);
    assert_eq!(found("QAT012", &["--no-kubelet"]).len(), vfs.len());
    let without = found("QAT004", &["--no-kubelet"]);
    assert!(!without.contains(&GEN4.to_string()), "{without:?}");
}

fn a_vf_on_a_stub(guest: &Guest) {
    let vf = guest.make_vfs(GEN4)[1];
    give(guest, vf, "pci-pf-stub");
    names("QAT010", vf);
    take(guest, vf);
}

fn vfs_on_the_denylist(guest: &Guest) {
    let vf = guest.make_vfs(GEN2)[0];
    take(guest, vf);
    names("QAT014", vf);
}

fn a_node_that_is_gone(guest: &Guest) {
    let vf = guest.make_vfs(GEN4)[2];
    give(guest, vf, "vfio-pci");
    let group = sysfs_pci::iommu_group(&guest.host.sysfs, vf)
        .unwrap()
        .unwrap();
    assert!(!found("QAT017", &["--no-kubelet"]).contains(&vf.to_string()));
    remove_file(format!("/dev/vfio/{group}")).unwrap();
    names("QAT017", vf);
    // The advice of the finding.
    give(guest, vf, "vfio-pci");
    assert!(!found("QAT017", &["--no-kubelet"]).contains(&vf.to_string()));
}

fn a_control_node_that_is_gone(guest: &Guest) {
    let vf = guest.make_vfs(GEN4)[2];
    give(guest, vf, "vfio-pci");
    rename("/dev/vfio/vfio", "/dev/vfio-elsewhere").unwrap();
    names("QAT018", vf);
    rename("/dev/vfio-elsewhere", "/dev/vfio/vfio").unwrap();
    assert_eq!(found("QAT018", &["--no-kubelet"]), [""; 0]);
}

fn a_group_with_a_driver_of_the_host(guest: &Guest) {
    let vf = guest.make_vfs(NO_ACS)[0];
    give(guest, vf, "vfio-pci");
    names("QAT015", vf);
    let text = inspect(&["groups"]);
    let blocks = |line: &str| line.contains(&NO_ACS.to_string()) && line.contains("in the way");
    assert!(text.lines().any(blocks), "{text}");
    take(guest, vf);
}

fn a_pf_on_vfio_pci(guest: &Guest) {
    give(guest, GEN4, "vfio-pci");
    names("QAT008", GEN4);
    take(guest, GEN4);
}

fn a_pf_without_a_driver(guest: &Guest) {
    take(guest, GEN4);
    names("QAT006", GEN4);
    write("/sys/bus/pci/drivers/4xxx/bind", GEN4.to_string()).unwrap();
    wait_until("the PF runs again", || {
        guest.attribute(GEN4, "driver").exists()
    });
    assert!(!found("QAT006", &["--no-kubelet"]).contains(&GEN4.to_string()));
}

fn a_kubelet_that_is_down(_: &Guest) {
    create_dir_all(KUBELET).unwrap();
    assert_eq!(found("QAT042", &[]), ["kubelet"]);
    let path = format!("{KUBELET}/kubelet.sock");
    let socket = UnixListener::bind(&path).unwrap();
    assert_eq!(found("QAT042", &[]), [""; 0]);
    drop(socket);
    assert_eq!(found("QAT042", &[]), ["kubelet"]);
    remove_file(path).unwrap();
}

fn a_plugin_that_is_dead(_: &Guest) {
    create_dir_all(KUBELET).unwrap();
    let path = format!("{KUBELET}/qat.intel.com-cy.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(found("QAT043", &[]), ["qat.intel.com/cy"]);
    remove_file(path).unwrap();
}

/// Asks the machine and its snapshot, and hands both to the host, which asks the snapshot too.
fn a_snapshot_says_what_its_machine_said(guest: &Guest) {
    guest.make_vfs(GEN4);
    let taken = inspect(&["snapshot", "/node.json"]);
    assert!(!taken.contains("not readable"), "{taken}");
    let questions = [
        &["list"][..],
        &["list", "--output=json"],
        // Without names: the host that asks again may have a list of PCI ids.
        &["groups", "--pci-ids=/nowhere"],
        &["pools"],
        &["check", "--no-kubelet"],
    ];
    let answers = questions.map(|question| {
        let answer = inspect(question);
        let from = [question, &["--from=/node.json"]].concat();
        assert_eq!(answer, inspect(&from), "{question:?}");
        (question, answer)
    });
    let snapshot: Value = serde_json::from_slice(&read("/node.json").unwrap()).unwrap();
    let told = json!({ "snapshot": snapshot, "answers": answers });
    write("/dev/ttyS1", told.to_string()).unwrap();
}
