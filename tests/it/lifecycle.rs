//! Coming and going: of the kubelet, of devices, of the daemon.

use std::fs;
use std::time::Duration;

use node_sim::{Machine, Profile, ResourceView, Restart};
use tests::{DEADLINE, Daemon, Scene};

const CY: &str = "qat.intel.com/cy";
const GENERIC: &str = "qat.intel.com/generic";

fn healthy(count: usize) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.allocatable == count
}

#[tokio::test]
async fn a_kubelet_restart_is_survived() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    scene
        .kubelet
        .wait_for(CY, healthy(32), DEADLINE)
        .await
        .unwrap();
    for restart in [
        Restart::WipeSockets,
        Restart::KeepSockets,
        Restart::WipeSockets,
    ] {
        scene
            .kubelet
            .restart(restart, Duration::ZERO)
            .await
            .unwrap();
        scene
            .kubelet
            .wait_for(CY, healthy(32), DEADLINE)
            .await
            .unwrap();
        scene
            .kubelet
            .wait_for("qat.intel.com/dc", healthy(32), DEADLINE)
            .await
            .unwrap();
    }
    scene.kubelet.admit([(CY, 2)]).await.unwrap();
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn the_first_list_is_never_empty_and_a_steady_state_is_silent() {
    let scene = Scene::new(Machine::profile(Profile::C62x)).await.unwrap();
    let daemon = scene.daemon(&["-v", "2"]).unwrap();
    let view = scene
        .kubelet
        .wait_for(GENERIC, healthy(48), DEADLINE)
        .await
        .unwrap();
    assert_eq!(view.lists_received, 1, "the first list is the whole list");
    // Ten more looks, and the next thing that the kubelet hears of is the unbind of a VF.
    let looks = |log: &str| log.matches(": close time.busy=").count();
    let seen = looks(&daemon.log());
    daemon
        .until("ten more looks", |log| looks(log) >= seen + 10, DEADLINE)
        .await
        .unwrap();
    let vf = scene.node.vfs()[0];
    scene.node.unbind(vf).unwrap();
    let view = scene
        .kubelet
        .wait_for(GENERIC, healthy(47), DEADLINE)
        .await
        .unwrap();
    assert_eq!(view.lists_received, 2);
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn a_vf_that_goes_away_turns_unhealthy_and_comes_back() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    scene
        .kubelet
        .wait_for(CY, healthy(32), DEADLINE)
        .await
        .unwrap();
    let vf = scene.node.vfs()[3];
    scene.node.unplug(vf).unwrap();
    let view = scene
        .kubelet
        .wait_for(CY, healthy(31), DEADLINE)
        .await
        .unwrap();
    assert_eq!(
        view.capacity, 32,
        "a VF that was advertised stays in the list"
    );
    daemon
        .logged(&format!("{CY}: VF {vf} of PF"), DEADLINE)
        .await
        .unwrap();
    scene.node.replug(vf).unwrap();
    scene
        .kubelet
        .wait_for(CY, healthy(32), DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn allocate_looks_again_and_refuses_with_a_sentence() {
    let scene = Scene::new(Machine::profile(Profile::GuestC62x))
        .await
        .unwrap();
    // One look at the start and none for an hour: only Allocate can notice.
    let daemon = Daemon::start(scene.node.root(), &["--rescan-interval=60m"], &[]).unwrap();
    let count = scene.node.vfs().len();
    scene
        .kubelet
        .wait_for(GENERIC, healthy(count), DEADLINE)
        .await
        .unwrap();
    for vf in scene.node.vfs() {
        scene.node.unbind(vf).unwrap();
    }
    let error = scene
        .kubelet
        .admit([(GENERIC, 1)])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("which is unexpected"), "{error}");
    assert!(error.contains("no driver"), "{error}");
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn a_kubelet_and_a_directory_that_are_not_there_yet_are_waited_for_and_said_once() {
    let scene = Scene::new(Machine::profile(Profile::C62x)).await.unwrap();
    scene.kubelet.stop().await;
    fs::remove_dir_all(scene.node.kubelet_dir()).unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    daemon
        .logged("48 of 48 VFs healthy", DEADLINE)
        .await
        .unwrap();
    for wait in ["waiting for the directory", "waiting for the kubelet "] {
        daemon.logged(wait, DEADLINE).await.unwrap();
    }
    scene
        .kubelet
        .restart(Restart::WipeSockets, Duration::ZERO)
        .await
        .unwrap();
    scene
        .kubelet
        .wait_for(GENERIC, healthy(48), DEADLINE)
        .await
        .unwrap();
    let log = scene.end(daemon).await.unwrap();
    for once in ["waiting for the directory", "waiting for the kubelet "] {
        assert_eq!(log.matches(once).count(), 1, "{once}: {log}");
    }
}

#[tokio::test]
async fn devices_that_are_not_there_yet_are_waited_for() {
    let scene = Scene::new(Machine::profile(Profile::C62x)).await.unwrap();
    let vfs = scene.node.vfs();
    for vf in &vfs {
        scene.node.unplug(*vf).unwrap();
    }
    let daemon = scene.daemon(&[]).unwrap();
    daemon
        .logged("no QAT VFs on this node", DEADLINE)
        .await
        .unwrap();
    for vf in &vfs {
        scene.node.replug(*vf).unwrap();
    }
    scene
        .kubelet
        .wait_for(GENERIC, healthy(48), DEADLINE)
        .await
        .unwrap();
    let log = scene.end(daemon).await.unwrap();
    assert_eq!(log.matches("no QAT VFs on this node").count(), 1, "{log}");
}

#[tokio::test]
async fn sigterm_ends_it_with_an_open_stream_and_takes_the_sockets_along() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    scene
        .kubelet
        .wait_for(CY, healthy(32), DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
    // The state directory stays, for the next start.
    let left: Vec<_> = fs::read_dir(scene.node.kubelet_dir())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.starts_with("qat"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_stale_socket_of_a_killed_daemon_is_no_obstacle() {
    let scene = Scene::new(Machine::profile(Profile::C62x)).await.unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    scene
        .kubelet
        .wait_for(GENERIC, healthy(48), DEADLINE)
        .await
        .unwrap();
    drop(daemon);
    let gone = |view: &ResourceView| !view.streaming;
    scene
        .kubelet
        .wait_for(GENERIC, gone, DEADLINE)
        .await
        .unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    scene
        .kubelet
        .wait_for(GENERIC, healthy(48), DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
}
