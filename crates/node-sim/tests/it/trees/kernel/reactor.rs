//! The same behind the writes of other programs.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::PermissionsExt,
    process::Command,
};

use node_sim::{Profile, SimError, WriteOutcome};

use super::super::{assert_same, assert_scan_agrees, at, attr, contents, write_profile};
use super::{DEADLINE, EBUSY, EINVAL, driver, echo, of, outcomes, poke};

const PF: &str = "0000:6b:00.0";
const VF: &str = "0000:6b:00.1";

#[test]
fn a_shell_unbinds_and_binds() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    let before = contents(sim.dir.path());
    let reactor = node.react().unwrap();
    let shell = |script: &str| {
        let status = Command::new("sh")
            .arg("-ec")
            .arg(script)
            .current_dir(node.sysfs())
            .status();
        assert!(status.unwrap().success());
        reactor.settle(DEADLINE).unwrap();
    };
    shell(&format!("echo {VF} > bus/pci/devices/{VF}/driver/unbind"));
    assert_eq!(node.driver_of(at(VF)), None);
    assert!(!node.dev().join("vfio/320").exists());
    assert_scan_agrees(node);
    shell(&format!("echo > bus/pci/devices/{VF}/driver_override"));
    assert_eq!(attr(node, VF, "driver_override"), "(null)");
    shell(&format!(
        "printf vfio-pci > bus/pci/devices/{VF}/driver_override"
    ));
    assert_eq!(
        fs::read(node.device(at(VF)).join("driver_override")).unwrap(),
        b"vfio-pci\n"
    );
    shell(&format!("echo {VF} > bus/pci/drivers_probe"));
    assert_eq!(reactor.refused(), []);
    assert_eq!(reactor.writes().len(), 4);
    assert_eq!(reactor.counts().values().sum::<usize>(), 4);
    drop(reactor);
    assert_same(&before, sim.dir.path());
}

#[test]
fn a_refusal_changes_nothing_and_is_told() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    let before = contents(sim.dir.path());
    let reactor = node.react().unwrap();
    let bind = driver("vfio-pci", "bind");
    let services = of(PF, "qat/cfg_services");
    for (path, text, errno) in [(&bind, VF, EBUSY), (&services, "dc", EINVAL)] {
        echo(node, path, text);
        reactor.settle(DEADLINE).unwrap();
        let refused = reactor.refused().pop().unwrap();
        assert_eq!(refused.outcome, WriteOutcome::Refused(errno));
        assert_eq!(refused.bytes, format!("{text}\n").as_bytes());
        assert_same(&before, sim.dir.path());
    }
    let mode = node
        .sysfs()
        .join(&bind)
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o200);
}

#[test]
fn programs_that_do_not_truncate_are_understood() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    let reactor = node.react().unwrap();
    let write = |path: &str, text: &str| {
        poke(node, path, text).unwrap();
        reactor.settle(DEADLINE).unwrap();
    };
    write(&of(VF, "driver_override"), "\n");
    assert_eq!(attr(node, VF, "driver_override"), "(null)");
    write(&of(PF, "sriov_numvfs"), "0\n");
    assert_eq!(node.vfs_of(at(PF)), []);
    assert_eq!(attr(node, PF, "sriov_numvfs"), "0");
    write(&of(PF, "qat/state"), "down");
    write(&of(PF, "qat/cfg_services"), "dc");
    write(&of(PF, "qat/state"), "up");
    assert_eq!(attr(node, PF, "qat/state"), "up");
    assert_eq!(attr(node, PF, "qat/cfg_services"), "dc");
    write(&of(PF, "qat/auto_reset"), "on");
    assert_eq!(attr(node, PF, "qat/auto_reset"), "on");
    assert_eq!(reactor.refused(), []);
}

#[test]
fn only_writes_count_as_writes() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    let before = contents(sim.dir.path());
    let reactor = node.react().unwrap();
    // Looking, opening, and what the machine does by itself.
    drop(
        OpenOptions::new()
            .write(true)
            .open(node.sysfs().join(driver("vfio-pci", "bind"))),
    );
    drop(
        OpenOptions::new()
            .write(true)
            .open(node.sysfs().join(of(PF, "qat/state"))),
    );
    contents(node.root());
    node.unplug(at(PF)).unwrap();
    node.replug(at(PF)).unwrap();
    node.unbind(at(VF)).unwrap();
    node.bind(at(VF), "vfio-pci").unwrap();
    reactor.settle(DEADLINE).unwrap();
    assert_eq!(reactor.writes(), []);
    // No bytes: nothing reaches the kernel, and the file says what it said.
    fs::write(node.sysfs().join(of(PF, "sriov_numvfs")), "").unwrap();
    reactor.settle(DEADLINE).unwrap();
    assert_eq!(reactor.writes(), []);
    assert_same(&before, sim.dir.path());
    // What is written again is a write, and so is what does nothing.
    echo(node, &of(PF, "sriov_numvfs"), "16");
    fs::write(node.device(at(VF)).join("numa_node"), "0\n").unwrap();
    reactor.settle(DEADLINE).unwrap();
    assert_eq!(
        outcomes(node),
        [
            ("sriov_numvfs".to_owned(), WriteOutcome::Taken),
            ("numa_node".to_owned(), WriteOutcome::Ignored),
        ]
    );
    reactor.forget();
    assert_eq!(reactor.writes(), []);
}

#[test]
fn what_appears_later_is_watched_as_well() {
    let sim = write_profile(Profile::C62x);
    let node = &sim.node;
    let reactor = node.react().unwrap();
    let (pf, vf) = ("0000:3d:00.0", "0000:3d:01.0");
    echo(node, &of(pf, "sriov_numvfs"), "0");
    reactor.settle(DEADLINE).unwrap();
    echo(node, &of(pf, "sriov_numvfs"), "16");
    reactor.settle(DEADLINE).unwrap();
    // New VFs, and the directory of a driver that was not there before.
    assert_eq!(node.driver_of(at(vf)).as_deref(), Some("c6xxvf"));
    echo(node, &of(vf, "driver_override"), "vfio-pci");
    echo(node, &driver("c6xxvf", "unbind"), vf);
    echo(node, &driver("vfio-pci", "bind"), vf);
    reactor.settle(DEADLINE).unwrap();
    assert_eq!(node.driver_of(at(vf)).as_deref(), Some("vfio-pci"));
    assert_eq!(reactor.refused(), []);
    assert_scan_agrees(node);
}

#[test]
fn a_held_function_does_not_keep_the_reactor_from_others() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    let reactor = node.react().unwrap();
    node.hold(at(VF)).unwrap();
    echo(node, &of(PF, "sriov_numvfs"), "0");
    echo(node, &of("0000:70:00.0", "sriov_numvfs"), "0");
    reactor.settle(DEADLINE).unwrap();
    assert_eq!(node.vfs_of(at("0000:70:00.0")), []);
    assert!(
        node.device(at(VF))
            .join("driver")
            .symlink_metadata()
            .is_err()
    );
    assert!(node.dev().join("vfio/320").exists());
    assert_eq!(reactor.writes()[0].outcome, WriteOutcome::Waiting);
    node.release(at(VF)).unwrap();
    assert_eq!(node.vfs_of(at(PF)), []);
    assert_eq!(reactor.writes()[0].outcome, WriteOutcome::Taken);
    assert_scan_agrees(node);
}

#[test]
fn there_is_one_reactor_at_a_time() {
    let sim = write_profile(Profile::C3xxx);
    let reactor = sim.node.react().unwrap();
    assert!(matches!(sim.node.react(), Err(SimError::Reacting)));
    drop(reactor);
    echo(&sim.node, "bus/pci/drivers/vfio-pci/unbind", "0000:01:01.0");
    let again = sim.node.react().unwrap();
    again.settle(DEADLINE).unwrap();
    assert_eq!(again.writes(), []);
    assert!(sim.node.driver_of(at("0000:01:01.0")).is_some());
}
