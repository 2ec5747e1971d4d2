//! What the plugin knows survives its restart: `state.json`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use node_sim::{Heartbeat, Machine, Profile, ResourceView, Restart};
use serde_json::Value;
use tests::{DEADLINE, Scene};
use tokio::time::{interval, timeout};

const CY: &str = "qat.intel.com/cy";

fn healthy(count: usize) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.allocatable == count
}

fn file(scene: &Scene) -> PathBuf {
    scene.node.kubelet_dir().join("qat-plugin/state.json")
}

/// Waits until the file fits.
async fn written(scene: &Scene, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let mut pace = interval(Duration::from_millis(5));
    let path = file(scene);
    let read = || {
        let text = fs::read(&path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or(Value::Null)
    };
    let found = timeout(DEADLINE, async {
        while !fits(&read()) {
            pace.tick().await;
        }
    });
    let in_time = found.await.is_ok();
    assert!(in_time, "{what}: {:#}", read());
    read()
}

async fn scene() -> Scene {
    Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_vf_that_loses_its_driver_while_the_plugin_is_away_stays_listed() {
    let scene = scene().await;
    let daemon = scene.daemon(&[]).unwrap();
    let kubelet = &scene.kubelet;
    kubelet.wait_for(CY, healthy(32), DEADLINE).await.unwrap();
    let first = kubelet.resources()[CY].devices.clone();
    let vf = first[0].id.clone();
    let all =
        |state: &Value| state["pools"]["cy"].as_object().map(serde_json::Map::len) == Some(32);
    let state = written(&scene, "32 VFs", all).await;
    let before = &state["pools"]["cy"][first[1].id.as_str()];
    assert_eq!(before["health"], "healthy");
    scene.end(daemon).await.unwrap();

    let pci = vf.parse().unwrap();
    scene.node.unbind(pci).unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    let view = kubelet.wait_for(CY, healthy(31), DEADLINE).await.unwrap();
    assert_eq!(view.capacity, 32, "it is not dropped");
    let one = |state: &Value| state["pools"]["cy"][vf.as_str()]["code"] == "not-bound";
    let state = written(&scene, "the reason", one).await;
    let other = &state["pools"]["cy"][first[1].id.as_str()];
    assert_eq!(other["since"], before["since"], "it was well all the time");
    scene.node.bind(pci, "vfio-pci").unwrap();
    kubelet.wait_for(CY, healthy(32), DEADLINE).await.unwrap();
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn a_pf_that_was_broken_is_not_taken_for_well() {
    let scene = scene().await;
    let daemon = scene.daemon(&["-v=2"]).unwrap();
    let kubelet = &scene.kubelet;
    kubelet.wait_for(CY, healthy(32), DEADLINE).await.unwrap();
    let vf = kubelet.resources()[CY].devices[0].id.parse().unwrap();
    let pfs = scene.node.pfs();
    let pf = *pfs
        .iter()
        .find(|pf| scene.node.vfs_of(**pf).contains(&vf))
        .unwrap();
    daemon
        .logged(&format!("was checked pf={pf}"), DEADLINE)
        .await
        .unwrap();
    let errors = |count: &str| {
        let attribute = "qat_ras/errors_fatal";
        scene
            .node
            .write_attr(pf, attribute, count.as_bytes())
            .unwrap();
    };
    errors("2");
    kubelet.wait_for(CY, healthy(16), DEADLINE).await.unwrap();
    let pf_text = pf.to_string();
    let sick = |state: &Value| state["pfs"][&pf_text]["sick"]["code"] == "fatal-errors";
    written(&scene, "a sick PF", sick).await;
    scene.end(daemon).await.unwrap();

    let daemon = scene.daemon(&[]).unwrap();
    let view = kubelet
        .wait_for(CY, |view| view.streaming, DEADLINE)
        .await
        .unwrap();
    assert_eq!(view.allocatable, 16, "the first list knows already");
    let heartbeat = Heartbeat {
        alive: true,
        queries_sent: 9,
        queries_failed: 0,
    };
    scene.node.set_heartbeat(pf, Some(heartbeat)).unwrap();
    errors("0");
    kubelet.wait_for(CY, healthy(32), DEADLINE).await.unwrap();
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_said_and_made_anew() {
    let scene = scene().await;
    let path = file(&scene);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "{ \"version\": 1, \"pools\": ").unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    scene
        .kubelet
        .wait_for(CY, healthy(32), DEADLINE)
        .await
        .unwrap();
    written(&scene, "a state", |state| state["version"] == 1).await;
    let log = scene.end(daemon).await.unwrap();
    assert!(log.contains("is not what a qat-plugin writes"), "{log}");
}

#[tokio::test]
async fn a_vf_that_is_open_although_no_pod_holds_it_is_not_given_away() {
    let scene = scene().await;
    let daemon = scene.daemon(&[]).unwrap();
    let kubelet = &scene.kubelet;
    kubelet.wait_for(CY, healthy(32), DEADLINE).await.unwrap();
    let id = kubelet.resources()[CY].devices[0].id.clone();
    let vf = id.parse().unwrap();
    scene.node.set_enable(vf, 1).unwrap();
    // Two surveys, and a kubelet that has had its time.
    let patience = 3 * DEADLINE;
    kubelet.wait_for(CY, healthy(31), patience).await.unwrap();
    let leaked = |state: &Value| state["leaks"][id.as_str()]["since"].is_u64();
    written(&scene, "a leak", leaked).await;
    scene.node.set_enable(vf, 0).unwrap();
    kubelet.wait_for(CY, healthy(32), patience).await.unwrap();
    let log = scene.end(daemon).await.unwrap();
    assert!(log.contains("it is open although no pod holds it"), "{log}");
}

/// A pod keeps the name under which it got its VF, as after a reload. What the plugin has saved is not needed for it.
#[tokio::test]
async fn old_name_is_served_after_a_restart_while_a_pod_has_its_vf() {
    for saved in [true, false] {
        let scene = scene().await;
        let kubelet = &scene.kubelet;
        let daemon = scene.daemon(&[]).unwrap();
        kubelet.wait_for(CY, healthy(32), DEADLINE).await.unwrap();
        let pod = kubelet.admit([(CY, 1)]).await.unwrap();
        scene.end(daemon).await.unwrap();
        if !saved {
            fs::remove_file(file(&scene)).unwrap();
        }

        let config = scene.node.root().join("config.yaml");
        fs::write(&config, "version: 1\npools: [{ pool: cy, name: fast }]\n").unwrap();
        let config = format!("--config={}", config.display());
        let daemon = scene.daemon(&[&config]).unwrap();
        let fast = "qat.intel.com/fast";
        kubelet.wait_for(fast, healthy(31), DEADLINE).await.unwrap();
        let view = kubelet.wait_for(CY, healthy(0), DEADLINE).await.unwrap();
        assert_eq!(view.capacity, 1);
        kubelet.restart_container(&pod).await.unwrap();
        kubelet
            .restart(Restart::WipeSockets, Duration::ZERO)
            .await
            .unwrap();
        kubelet.wait_for(CY, healthy(0), DEADLINE).await.unwrap();
        kubelet.restart_container(&pod).await.unwrap();
        assert!(kubelet.delete(&pod));
        kubelet
            .wait_for(fast, healthy(32), 3 * DEADLINE)
            .await
            .unwrap();
        let gone = |view: &ResourceView| !view.streaming;
        kubelet.wait_for(CY, gone, DEADLINE).await.unwrap();
        scene.end(daemon).await.unwrap();
    }
}
