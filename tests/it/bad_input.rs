//! Bad input of every kind: a clear message each, the healthy VFs served, nothing else touched.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use node_sim::{Change, Machine, Profile, ResourceView, SimNode};
use tests::{DEADLINE, Daemon, Scene};

const CY: &str = "qat.intel.com/cy";
const GENERIC: &str = "qat.intel.com/generic";

fn healthy(count: usize) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.allocatable == count
}

/// Runs the daemon with bad flags and returns what it said; it must end with exit code 2 and must
/// not have reached the kubelet.
async fn refused(args: &[&str]) -> String {
    let scene = Scene::new(Machine::profile(Profile::C62x)).await.unwrap();
    let daemon = Daemon::start(scene.node.root(), args, &[]).unwrap();
    let (status, log) = daemon.ended(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(scene.kubelet.resources().is_empty());
    log
}

#[tokio::test]
async fn wrong_values_end_the_process_with_2_and_name_flag_value_and_what_is_allowed() {
    for (args, parts) in [
        (
            &["-kernel-vf-drivers", "4xxxvf,foovf"][..],
            &["-kernel-vf-drivers", "foovf", "c6xxvf"][..],
        ),
        (
            &["-kernel-vf-drivers", ""],
            &["-kernel-vf-drivers", "4xxxvf"],
        ),
        (
            &["-allocation-policy", "random"],
            &["-allocation-policy", "random", "packed", "balanced"],
        ),
        (
            &["-allocation-policy="],
            &["-allocation-policy", "``", "packed"],
        ),
        (
            &["-max-num-devices", "-1"],
            &["-max-num-devices", "-1", "at least 1"],
        ),
        (
            &["-max-num-devices", "many"],
            &["-max-num-devices", "many", "at least 1"],
        ),
        (
            &["-max-num-devices", "0"],
            &["-max-num-devices", "`0`", "at least 1"],
        ),
        (
            &["-dpdk-driver", "uio_pci_generic"],
            &["-dpdk-driver", "uio_pci_generic", "vfio-pci", "igb_uio"],
        ),
        (&["--no-such-flag"], &["--no-such-flag"]),
    ] {
        let said = refused(args).await;
        for part in parts {
            assert!(
                said.contains(part),
                "`{part}` is missing from the answer to {args:?}:\n{said}"
            );
        }
    }
}

#[tokio::test]
async fn a_missing_or_wrong_sysfs_root_is_a_configuration_error() {
    let dir = tempfile::tempdir().unwrap();
    for root in [dir.path().join("nothing"), dir.path().to_path_buf()] {
        let daemon = Daemon::start(&root, &[], &[]).unwrap();
        let (status, log) = daemon.ended(DEADLINE).await.unwrap();
        assert_eq!(status.code(), Some(2), "{log}");
        assert!(log.contains("--sysfs-root"), "{log}");
        assert!(log.contains("bus/pci/devices"), "{log}");
    }
}

#[tokio::test]
async fn an_unreadable_sysfs_root_is_a_configuration_error() {
    // Permissions do not bind root, so what cannot be listed is a file in the place of the directory.
    let dir = node_sim::scratch().unwrap();
    fs::create_dir_all(dir.path().join("sys/bus/pci")).unwrap();
    fs::write(dir.path().join("sys/bus/pci/devices"), "").unwrap();
    let daemon = Daemon::start(dir.path(), &[], &[]).unwrap();
    let (status, log) = daemon.ended(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("Not a directory"), "{log}");
}

#[tokio::test]
async fn an_unreadable_attribute_costs_only_its_own_vf() {
    let scene = Scene::new(Machine::profile(Profile::C62x)).await.unwrap();
    let bad = scene.node.vfs()[9];
    let modalias = scene.node.device(bad).join("modalias");
    fs::remove_file(&modalias).unwrap();
    fs::create_dir(&modalias).unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    scene
        .kubelet
        .wait_for(GENERIC, healthy(47), DEADLINE)
        .await
        .unwrap();
    daemon
        .logged(&format!("{bad}` cannot be read"), DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
}

/// Everything below a directory with its size and time of change, to see that nothing was touched.
fn fingerprint(dir: &Path, into: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        into.push(format!(
            "{} {} {} {}",
            entry.path().display(),
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        ));
        if metadata.is_dir() {
            fingerprint(&entry.path(), into);
        }
    }
}

fn sysfs_fingerprint(node: &SimNode) -> Vec<String> {
    let mut entries = Vec::new();
    fingerprint(&node.sysfs(), &mut entries);
    entries
}

#[tokio::test]
async fn look_alikes_are_neither_offered_nor_touched() {
    let machine = Machine::profile(Profile::Xeon4xxx).with(Change::LookAlikes);
    let scene = Scene::new(machine).await.unwrap();
    let before = sysfs_fingerprint(&scene.node);
    let daemon = scene.daemon(&[]).unwrap();
    let view = scene
        .kubelet
        .wait_for(CY, healthy(32), DEADLINE)
        .await
        .unwrap();
    assert_eq!(view.capacity, 32);
    let log = scene.end(daemon).await.unwrap();
    assert!(!log.contains("10de"), "{log}");
    assert_eq!(sysfs_fingerprint(&scene.node), before);
}

#[tokio::test]
async fn one_vf_without_a_group_leaves_the_others() {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let bad = machine.vfs()[4];
    let scene = Scene::new(machine.with(Change::NoIommuGroup(bad)))
        .await
        .unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    let view = scene
        .kubelet
        .wait_for(CY, healthy(31), DEADLINE)
        .await
        .unwrap();
    assert!(
        view.devices
            .iter()
            .all(|device| device.id != bad.to_string())
    );
    daemon
        .logged(&format!("VF {bad} of PF"), DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn garbage_in_every_attribute_costs_only_its_own_vf() {
    let attributes = [
        "modalias",
        "numa_node",
        "enable",
        "local_cpulist",
        "uevent",
        "driver_override",
        "vendor",
        "device",
        "class",
        "config",
        "local_cpus",
        "power_state",
    ];
    for bytes in [&b""[..], b"\xff\xfe\0garbage", b"-1", &[b'9'; 9000]] {
        let mut machine = Machine::profile(Profile::C62x);
        let bad = machine.vfs()[7];
        for name in attributes {
            machine = machine.with(Change::Garbage {
                address: bad,
                attribute: name,
                bytes,
            });
        }
        let scene = Scene::new(machine).await.unwrap();
        let daemon = scene.daemon(&[]).unwrap();
        scene
            .kubelet
            .wait_for(GENERIC, healthy(47), DEADLINE)
            .await
            .unwrap();
        daemon.logged(&bad.to_string(), DEADLINE).await.unwrap();
        scene.end(daemon).await.unwrap();
    }
}

#[tokio::test]
async fn garbage_in_a_pf_costs_only_its_own_vfs() {
    // An empty `cfg_services` says nothing, and debugfs is asked instead: nothing is lost.
    for (bytes, healthy_cy) in [
        (&b""[..], 32),
        (b"\xff\xfe", 16),
        (b"sym;sym", 16),
        (b"quantum", 16),
        (&[b'a'; 9000], 16),
    ] {
        let mut machine = Machine::profile(Profile::Xeon4xxx);
        let pf = machine.pfs()[0];
        for attribute in ["qat/cfg_services", "numa_node"] {
            machine = machine.with(Change::Garbage {
                address: pf,
                attribute,
                bytes,
            });
        }
        let scene = Scene::new(machine).await.unwrap();
        let daemon = scene.daemon(&[]).unwrap();
        scene
            .kubelet
            .wait_for(CY, healthy(healthy_cy), DEADLINE)
            .await
            .unwrap();
        scene
            .kubelet
            .wait_for("qat.intel.com/dc", healthy(32), DEADLINE)
            .await
            .unwrap();
        daemon.logged(&pf.to_string(), DEADLINE).await.unwrap();
        scene.end(daemon).await.unwrap();
    }
}
