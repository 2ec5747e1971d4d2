//! What earlier versions have left on a node: the kubelet's checkpoint with their device IDs and names, and their `state.json`.
//!
//! `BLESS=1 cargo test -p tests upgrade` writes the files of this version into `tests/it/upgrade`. Those of a version that was released
//! are never written again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use node_sim::{Kubelet, Machine, Profile, ResourceView};
use serde_json::Value;
use tests::{DEADLINE, Daemon, Scene};

const CY: &str = "qat.intel.com/cy";
const CHECKPOINT: &str = "kubelet_internal_checkpoint";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("it/upgrade")
}

fn healthy(count: usize) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.allocatable == count
}

/// A node of the one profile that all versions have served, with a pod that holds two VFs.
#[tokio::test]
async fn this_version_leaves_files_for_the_next() {
    let folder = folder().join(env!("CARGO_PKG_VERSION"));
    if env::var_os("BLESS").is_none() {
        assert!(folder.join(CHECKPOINT).exists(), "BLESS=1");
        return;
    }
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    scene
        .kubelet
        .wait_for(CY, healthy(32), DEADLINE)
        .await
        .unwrap();
    scene.kubelet.admit([(CY, 2)]).await.unwrap();
    let directory = scene.node.kubelet_dir();
    scene.end(daemon).await.unwrap();
    fs::create_dir_all(&folder).unwrap();
    for (from, to) in [
        (CHECKPOINT, CHECKPOINT),
        ("qat-plugin/state.json", "state.json"),
    ] {
        fs::copy(directory.join(from), folder.join(to)).unwrap();
    }
}

#[tokio::test]
async fn what_each_version_has_given_stays_given() {
    let mut versions = 0;
    for version in fs::read_dir(folder()).unwrap() {
        goes_on_from(&version.unwrap().path()).await;
        versions += 1;
    }
    assert!(versions > 0);
}

async fn goes_on_from(version: &Path) {
    let dir = node_sim::scratch().unwrap();
    let node = Machine::profile(Profile::Xeon4xxx)
        .write(dir.path())
        .unwrap();
    let directory = node.kubelet_dir();
    fs::create_dir_all(directory.join("qat-plugin")).unwrap();
    fs::copy(version.join(CHECKPOINT), directory.join(CHECKPOINT)).unwrap();
    // As if it had been written since this machine was booted.
    let mut state: Value =
        serde_json::from_slice(&fs::read(version.join("state.json")).unwrap()).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    state["boot"] = boot.trim().into();
    fs::write(directory.join("qat-plugin/state.json"), state.to_string()).unwrap();

    let kubelet = Kubelet::start(&directory).await.unwrap();
    let pods = kubelet.pods();
    let [pod] = pods.as_slice() else {
        panic!("{}: {pods:?}", version.display())
    };
    let held: BTreeSet<String> = pod.devices[CY].iter().cloned().collect();
    assert_eq!(held.len(), 2, "{}", version.display());
    let args = ["--rescan-interval=100ms", "--manage-binding=false", "-v=2"];
    let daemon = Daemon::start(dir.path(), &args, &[]).unwrap();
    kubelet.wait_for(CY, healthy(32), DEADLINE).await.unwrap();
    daemon
        .logged("an earlier process is continued", DEADLINE)
        .await
        .unwrap();
    let listed: BTreeSet<String> = kubelet.resources()[CY]
        .devices
        .iter()
        .map(|device| device.id.clone())
        .collect();
    assert!(held.is_subset(&listed), "the IDs are the same for ever");
    let rest = kubelet.admit([(CY, 30)]).await.unwrap();
    assert!(rest.devices[CY].iter().all(|id| !held.contains(id)));
    let (status, log) = daemon.terminate(DEADLINE).await.unwrap();
    assert!(status.success(), "{log}");
}
