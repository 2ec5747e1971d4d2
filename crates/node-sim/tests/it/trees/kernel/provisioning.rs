//! A whole node, from nothing to every VF on `vfio-pci`.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use node_sim::{Change, KernelRelease, Machine, Profile, SimNode};

use super::super::{Sim, assert_scan_agrees, at, attr, write};
use super::{DEADLINE, EBUSY, EINVAL, ENODEV, driver, echo, kernel, of, poke};

const PFS: [&str; 4] = [
    "0000:6b:00.0",
    "0000:70:00.0",
    "0000:75:00.0",
    "0000:7a:00.0",
];

/// Four PFs without VFs, all of them for compression.
fn bare() -> Sim {
    let machine = Machine::profile(Profile::Xeon4xxx)
        .kernel(KernelRelease::V6_17)
        .with_each(PFS.map(at), Change::NoVfs)
        .with_each(PFS.map(at), |pf| Change::Services { pf, text: "dc" });
    write(machine)
}

/// Waits as a program must: until the machine says so.
#[track_caller]
fn until(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < DEADLINE, "{what} never came");
        thread::sleep(Duration::from_micros(50));
    }
}

fn says(node: &SimNode, path: &str, text: &str) -> bool {
    let path = node.sysfs().join(path);
    fs::read_to_string(path).is_ok_and(|read| read.trim_end() == text)
}

fn is_on(node: &SimNode, vf: &str, driver: &str) -> bool {
    let link = node.device(at(vf)).join("driver");
    fs::read_link(link).is_ok_and(|link| link.file_name() == Path::new(driver).file_name())
}

/// What a read-back of all says when the work is done.
#[track_caller]
fn assert_provisioned(node: &SimNode) {
    for pf in PFS {
        assert_eq!(attr(node, pf, "qat/state"), "up");
        // The kernel's order, not ours.
        assert_eq!(attr(node, pf, "qat/cfg_services"), "asym;sym");
        assert_eq!(node.vfs_of(at(pf)).len(), 16);
    }
    for vf in node.vfs() {
        assert_eq!(node.driver_of(vf).as_deref(), Some("vfio-pci"));
        let group = node.group_of(vf).unwrap();
        assert!(node.dev().join(format!("vfio/{group}")).exists());
        assert!(node.device(vf).join("vfio-dev").exists());
        assert_eq!(attr(node, &vf.to_string(), "enable"), "0");
        assert!(attr(node, &vf.to_string(), "uevent").contains("DRIVER=vfio-pci"));
    }
    assert_scan_agrees(node);
}

#[test]
fn a_shell_like_program_provisions_a_node() {
    let sim = bare();
    let node = &sim.node;
    let reactor = node.react().unwrap();
    for pf in PFS {
        echo(node, &of(pf, "qat/state"), "down");
        until("down", || !node.device(at(pf)).join("qat_ras").exists());
        echo(node, &of(pf, "qat/cfg_services"), "sym;asym");
        until("services", || {
            says(node, &of(pf, "qat/cfg_services"), "asym;sym")
        });
        echo(node, &of(pf, "sriov_numvfs"), "16");
        until("16 VFs", || {
            says(node, &of(pf, "sriov_numvfs"), "16")
                && node.device(at(pf)).join("virtfn15").exists()
        });
        for number in 0..16 {
            let link = fs::read_link(node.device(at(pf)).join(format!("virtfn{number}"))).unwrap();
            let vf = link.file_name().unwrap().to_str().unwrap();
            echo(node, &of(vf, "driver_override"), "vfio-pci");
            echo(node, &driver("vfio-pci", "bind"), vf);
            until("the driver", || is_on(node, vf, "vfio-pci"));
        }
    }
    reactor.settle(DEADLINE).unwrap();
    assert_eq!(reactor.refused(), []);
    assert_provisioned(node);
    // Three writes for each PF and two for each VF.
    assert_eq!(reactor.writes().len(), 4 * 3 + 64 * 2);
}

#[test]
fn a_program_with_errnos_provisions_a_node_and_is_refused_on_the_way() {
    let sim = bare();
    let node = &sim.node;
    let write = |path: &str, text: &str| kernel(node, path, &format!("{text}\n"));
    for pf in PFS {
        let [state, services, numvfs] =
            ["qat/state", "qat/cfg_services", "sriov_numvfs"].map(|name| of(pf, name));
        assert_eq!(write(&services, "sym;asym"), Err(EINVAL));
        assert_eq!(write(&state, "down"), Ok(()));
        assert_eq!(write(&services, "sym;asym;dc"), Err(EINVAL));
        assert_eq!(write(&services, "sym;asym"), Ok(()));
        // Brings the device up as well.
        assert_eq!(write(&numvfs, "4"), Ok(()));
        assert_eq!(write(&numvfs, "4"), Err(EBUSY));
        assert_eq!(write(&numvfs, "16"), Ok(()));
        for vf in node.vfs_of(at(pf)).iter().map(ToString::to_string) {
            let bind = driver("vfio-pci", "bind");
            assert_eq!(write(&bind, &vf), Err(ENODEV));
            assert_eq!(write(&of(&vf, "driver_override"), "vfio-pci"), Ok(()));
            assert_eq!(write(&bind, &vf), Ok(()));
            assert_eq!(write(&bind, &vf), Err(EBUSY));
        }
    }
    assert_provisioned(node);
}

#[test]
fn no_command_is_lost_when_many_write_to_one_file() {
    let sim = bare();
    let node = &sim.node;
    let reactor = node.react().unwrap();
    for pf in PFS {
        echo(node, &of(pf, "sriov_numvfs"), "16");
    }
    reactor.settle(DEADLINE).unwrap();
    let vfs = node.vfs();
    thread::scope(|scope| {
        for vfs in vfs.chunks(8) {
            scope.spawn(move || {
                for vf in vfs {
                    let vf = vf.to_string();
                    echo(node, &of(&vf, "driver_override"), "vfio-pci");
                    poke(node, &driver("vfio-pci", "bind"), &format!("{vf}\n")).unwrap();
                }
            });
        }
    });
    for vf in vfs {
        let vf = vf.to_string();
        until("the driver", || is_on(node, &vf, "vfio-pci"));
    }
    reactor.settle(DEADLINE).unwrap();
    assert_eq!(reactor.refused(), []);
    drop(reactor);
    let bind = node.sysfs().join(driver("vfio-pci", "bind"));
    assert!(fs::metadata(bind).unwrap().is_file(), "a file again");
}
