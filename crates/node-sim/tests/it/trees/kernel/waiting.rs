//! Writes that wait for somebody who holds a function, and races.

use std::{io::ErrorKind, thread, time::Instant};

use node_sim::{Profile, SimError, SimNode, WriteOutcome};

use super::super::{assert_same, assert_scan_agrees, at, attr, contents, write_profile};
use super::{DEADLINE, EBUSY, EINVAL, driver, kernel, of, outcomes};

const PF: &str = "0000:6b:00.0";
const VF: &str = "0000:6b:00.1";
const OTHER: &str = "0000:6b:00.2";

/// The write has begun, and its writer hangs.
#[track_caller]
fn hangs(node: &SimNode, path: &str, text: &str) {
    let error = node.try_write_as_kernel(path, text.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

/// Waits until something is so.
#[track_caller]
fn until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < DEADLINE, "it never came");
        thread::yield_now();
    }
}

#[test]
fn an_unbind_hangs_with_the_link_gone_and_the_node_there() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    assert!(matches!(node.hold(at(PF)), Err(SimError::NotOnVfio { .. })));
    node.hold(at(VF)).unwrap();
    assert_eq!(attr(node, VF, "enable"), "1");
    hangs(node, &driver("vfio-pci", "unbind"), VF);
    assert_eq!(node.driver_of(at(VF)), None);
    assert!(
        node.device(at(VF))
            .join("driver")
            .symlink_metadata()
            .is_err()
    );
    assert!(node.dev().join("vfio/320").exists());
    assert!(node.device(at(VF)).join("vfio-dev/vfio0").exists());

    // Its lock is taken; that of others is not.
    hangs(node, &driver("vfio-pci", "bind"), VF);
    kernel(node, &driver("vfio-pci", "unbind"), OTHER).unwrap();
    kernel(node, &driver("vfio-pci", "bind"), OTHER).unwrap();
    kernel(node, &of(VF, "driver_override"), "vfio-pci\n").unwrap();
    let ends = |node: &SimNode| {
        node.writes()
            .into_iter()
            .map(|w| w.outcome)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ends(node)[..2],
        [WriteOutcome::Waiting, WriteOutcome::Waiting]
    );

    node.release(at(VF)).unwrap();
    assert_eq!(ends(node)[..2], [WriteOutcome::Taken, WriteOutcome::Taken]);
    assert_same(
        &contents(write_profile(Profile::Xeon4xxx).dir.path()),
        sim.dir.path(),
    );
}

#[test]
fn a_writer_blocks_until_the_function_is_released() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    node.hold(at(VF)).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| kernel(node, &of(PF, "qat/state"), "down\n"));
        until(|| attr(node, PF, "qat/state") == "down");
        assert!(!writer.is_finished());
        assert!(node.dev().join("vfio/320").exists());
        node.release(at(VF)).unwrap();
        assert_eq!(writer.join().unwrap(), Ok(()));
    });
    assert_eq!(node.vfs_of(at(PF)), []);
    assert!(!node.dev().join("vfio/320").exists());
    assert_scan_agrees(node);
}

#[test]
fn numvfs_0_stops_at_the_vf_that_is_held_and_others_wait_behind_it() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    node.hold(at(OTHER)).unwrap();
    hangs(node, &of(PF, "sriov_numvfs"), "0\n");
    // The first is gone, the second stuck, the third as it was.
    assert!(!node.device(at(VF)).exists());
    assert!(!node.device(at(OTHER)).join("physfn").exists());
    assert!(node.device(at(OTHER)).exists());
    assert!(node.device(at("0000:6b:00.3")).join("driver").exists());
    hangs(node, &of(PF, "sriov_numvfs"), "4\n");
    hangs(node, &driver("vfio-pci", "unbind"), "0000:6b:00.3");
    // Judged when its turn has come: there are none then, so it makes them all.
    node.release(at(OTHER)).unwrap();
    assert_eq!(
        outcomes(node),
        [
            ("sriov_numvfs".to_owned(), WriteOutcome::Taken),
            ("sriov_numvfs".to_owned(), WriteOutcome::Taken),
            ("unbind".to_owned(), WriteOutcome::Refused(19)),
        ]
    );
    assert_eq!(node.vfs_of(at(PF)).len(), 16);
    assert_eq!(attr(node, PF, "qat/state"), "up");
    assert_scan_agrees(node);
}

#[test]
fn what_is_unplugged_meanwhile_keeps_nobody_waiting_for_ever() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    node.hold(at(VF)).unwrap();
    hangs(node, &driver("vfio-pci", "unbind"), VF);
    node.unplug(at(VF)).unwrap();
    assert_eq!(outcomes(node), [("unbind".to_owned(), WriteOutcome::Taken)]);
    node.replug(at(VF)).unwrap();
    assert_scan_agrees(node);
}

#[test]
fn a_foreign_writer_wins_the_race_after_an_unbind() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    node.grab_after_unbind(at(VF), "4xxxvf").unwrap();
    kernel(node, &driver("vfio-pci", "unbind"), VF).unwrap();
    assert_eq!(node.driver_of(at(VF)).as_deref(), Some("4xxxvf"));
    assert_eq!(kernel(node, &driver("vfio-pci", "bind"), VF), Err(EBUSY));
    kernel(node, &driver("4xxxvf", "unbind"), VF).unwrap();
    kernel(node, &driver("vfio-pci", "bind"), VF).unwrap();
    assert_scan_agrees(node);
}

#[test]
fn a_reset_gives_new_vfs_without_what_was_set() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    let groups: Vec<_> = node
        .vfs_of(at(PF))
        .into_iter()
        .map(|vf| node.group_of(vf))
        .collect();
    node.reset_pf(at(PF)).unwrap();
    let vfs = node.vfs_of(at(PF));
    assert_eq!(vfs.len(), 16);
    for vf in vfs {
        assert_eq!(node.driver_of(vf), None);
        assert_eq!(attr(node, &vf.to_string(), "driver_override"), "(null)");
        assert!(!groups.contains(&node.group_of(vf)));
    }
    assert_eq!(attr(node, PF, "qat/state"), "up");
    assert_scan_agrees(node);

    // One that is held keeps it waiting.
    let held = at("0000:70:00.1");
    node.hold(held).unwrap();
    node.reset_pf(at("0000:70:00.0")).unwrap();
    assert_eq!(attr(node, "0000:70:00.0", "qat/state"), "down");
    assert_eq!(
        kernel(node, &of("0000:70:00.0", "qat/auto_reset"), "x"),
        Err(EINVAL)
    );
    node.release(held).unwrap();
    assert_eq!(node.vfs_of(at("0000:70:00.0")).len(), 16);
    assert_eq!(attr(node, "0000:70:00.0", "qat/state"), "up");
    assert_scan_agrees(node);
}
