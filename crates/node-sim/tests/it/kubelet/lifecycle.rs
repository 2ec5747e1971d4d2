//! Streams that end, kubelets that restart.

use std::{collections::BTreeMap, fs, future::ready, os::unix::fs::PermissionsExt, time::Duration};

use node_sim::{
    EventKind, Fault, Kubelet, KubeletOptions, Reregistration, ResourceView, Restart, StreamEnd,
};
use tokio::{
    io::AsyncReadExt,
    net::{UnixListener, UnixStream},
    select,
    time::timeout,
};

use super::{
    LIMIT, NIC, Node,
    plugin::{Answers, Plugin, healthy, register},
};

#[tokio::test]
async fn the_end_of_a_stream_makes_all_unhealthy_until_the_resource_is_forgotten() {
    let node = Node::with(KubeletOptions::new().stop_grace(Duration::from_millis(50))).await;
    let plugin = node.nic(&["a", "b"], Answers::default()).await;
    let mark = node.kubelet.transcript().events().len();
    plugin.end();
    let marked = |kind: &EventKind| matches!(kind, EventKind::MarkedUnhealthy { .. });
    node.kubelet
        .wait_for_event("unhealthy", mark, marked, LIMIT)
        .await
        .unwrap();
    let gone = |all: &BTreeMap<String, ResourceView>| all.is_empty();
    node.kubelet
        .wait_until("oblivion", gone, LIMIT)
        .await
        .unwrap();
    let ended = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::StreamEnded {
                end: StreamEnd::Plugin,
                ..
            }
        )
    };
    assert_eq!(node.kubelet.transcript().count(ended), 1);
}

#[tokio::test]
async fn a_stopped_resource_keeps_its_capacity() {
    let node = Node::new().await;
    let plugin = node.nic(&["a", "b"], Answers::default()).await;
    plugin.end();
    let view = node
        .kubelet
        .wait_for(NIC, |view| !view.streaming, LIMIT)
        .await
        .unwrap();
    assert_eq!((view.capacity, view.allocatable), (2, 0));
    let error = node.kubelet.admit([(NIC, 1)]).await.unwrap_err();
    assert!(
        error.to_string().contains("no healthy devices present"),
        "{error}"
    );
}

/// Registers a second plugin for the same resource and lets the first stream end late.
async fn replaced(how: Reregistration) -> (Node, Plugin) {
    let node = Node::with(KubeletOptions::new().reregistration(how)).await;
    let old = node.nic(&["a"], Answers::default()).await;
    let devices = vec![healthy("a"), healthy("b")];
    let new = node
        .plugin("new.sock", NIC, devices, Answers::default())
        .await;
    assert!(!node.kubelet.resource(NIC).unwrap().endpoint.is_empty());
    let mark = node.kubelet.transcript().events().len();
    old.end();
    let ended = |kind: &EventKind| matches!(kind, EventKind::StreamEnded { stream: 1, .. });
    node.kubelet
        .wait_for_event("the old stream to end", mark, ended, LIMIT)
        .await
        .unwrap();
    (node, new)
}

#[tokio::test]
async fn an_old_stream_ends_late_without_harm() {
    let (node, new) = replaced(Reregistration::Fixed).await;
    let view = node.kubelet.resource(NIC).unwrap();
    assert_eq!(
        (view.allocatable, view.streaming, view.endpoint.as_str()),
        (2, true, "new.sock")
    );
    new.send(vec![healthy("c")]);
    let listed = |view: &ResourceView| view.capacity == 1 && view.allocatable == 1;
    node.kubelet.wait_for(NIC, listed, LIMIT).await.unwrap();
}

#[test]
fn the_race_is_what_one_gets_without_asking() {
    let told = |options: KubeletOptions| format!("{:?}", options.seed(1));
    let race = KubeletOptions::new().reregistration(Reregistration::RaceUntil136);
    let fixed = KubeletOptions::new().reregistration(Reregistration::Fixed);
    assert_eq!(told(KubeletOptions::new()), told(race.clone()));
    assert_eq!(told(KubeletOptions::default()), told(race));
    assert_ne!(told(KubeletOptions::new()), told(fixed));
}

#[tokio::test]
async fn up_to_1_36_an_old_stream_takes_the_new_client_with_it() {
    let (node, new) = replaced(Reregistration::RaceUntil136).await;
    let view = node
        .kubelet
        .wait_for(NIC, |view| !view.streaming, LIMIT)
        .await
        .unwrap();
    assert_eq!((view.capacity, view.allocatable), (2, 0));
    timeout(LIMIT, new.streams(0)).await.unwrap();
    // The way out: register again.
    register(node.dir(), "new.sock", NIC).await.unwrap();
    node.kubelet
        .wait_for(NIC, |view| view.allocatable == 2, LIMIT)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_busy_kubelet_sees_the_end_of_a_stream_late_and_gives_up_the_wrong_client() {
    let node = Node::new().await;
    let plugin = node.nic(&["a"], Answers::default()).await;
    node.kubelet.once(Fault::LateStreamEnd);
    plugin.end();
    // The plugin has ended its stream before it registers again, and that is not enough.
    let new = Plugin::serve(
        node.dir(),
        "new.sock",
        vec![healthy("a")],
        Answers::default(),
    );
    register(node.dir(), "new.sock", NIC).await.unwrap();
    let ended = |kind: &EventKind| matches!(kind, EventKind::StreamEnded { stream: 1, .. });
    node.kubelet
        .wait_for_event("the late end", 0, ended, LIMIT)
        .await
        .unwrap();
    let view = node.kubelet.resource(NIC).unwrap();
    assert_eq!((view.capacity, view.allocatable), (1, 0));
    timeout(LIMIT, new.streams(0)).await.unwrap();
}

#[tokio::test]
async fn hangs_up_on_demand() {
    let node = Node::new().await;
    let plugin = node.nic(&["a"], Answers::default()).await;
    assert!(node.kubelet.hang_up(NIC));
    timeout(LIMIT, plugin.streams(0)).await.unwrap();
    node.kubelet
        .wait_for(NIC, |view| view.allocatable == 0, LIMIT)
        .await
        .unwrap();
    assert!(!node.kubelet.hang_up(NIC));
}

#[tokio::test]
async fn a_start_wipes_sockets_and_nothing_else() {
    let dir = node_sim::scratch().unwrap();
    let dir = dir.path().join("kubelet/device-plugins");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("kubelet_internal_checkpoint"), "{}").unwrap();
    for socket in ["stale.sock", "kubelet.sock", "sub/deep.sock"] {
        drop(UnixListener::bind(dir.join(socket)).unwrap());
    }
    let kubelet = Kubelet::start(&dir).await.unwrap();
    let transcript = kubelet.transcript();
    let EventKind::Started { removed, .. } = &transcript.events()[0].kind else {
        panic!("{transcript}");
    };
    assert_eq!(removed, &["kubelet.sock", "stale.sock"]);
    assert!(dir.join("kubelet_internal_checkpoint").exists());
    assert!(dir.join("sub/deep.sock").exists());
    let mode = fs::metadata(kubelet.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[tokio::test]
async fn a_restart_keeps_pods_and_starts_from_zero() {
    let node = Node::new().await;
    let plugin = node.nic(&["a", "b"], Answers::default()).await;
    let pod = node.kubelet.admit([(NIC, 1)]).await.unwrap();
    node.kubelet.stop().await;
    timeout(LIMIT, plugin.streams(0)).await.unwrap();
    assert!(node.kubelet.socket().exists());
    assert!(UnixStream::connect(node.kubelet.socket()).await.is_err());
    // Sockets go at once, kubelet.sock comes later.
    select! {
        biased;
        result = node.kubelet.resume(Restart::WipeSockets, LIMIT) => panic!("{result:?}"),
        () = ready(()) => {}
    }
    assert!(!node.dir().join("nic.sock").exists());
    assert!(!node.kubelet.socket().exists());
    node.kubelet
        .resume(Restart::WipeSockets, Duration::ZERO)
        .await
        .unwrap();
    let view = node.kubelet.resource(NIC).unwrap();
    assert_eq!(
        (view.capacity, view.streaming, view.assigned),
        (0, false, 1)
    );
    drop(plugin);
    let _plugin = node.nic(&["a", "b"], Answers::default()).await;
    let error = node.kubelet.admit([(NIC, 2)]).await.unwrap_err();
    assert!(
        error.to_string().contains("Requested: 2, Available: 1"),
        "{error}"
    );
    assert!(node.kubelet.delete(&pod));
    node.kubelet.admit([(NIC, 2)]).await.unwrap();
    node.kubelet
        .restart(Restart::KeepSockets, Duration::ZERO)
        .await
        .unwrap();
    register(node.dir(), "nic.sock", NIC).await.unwrap();
    node.kubelet
        .wait_for(NIC, |view| view.allocatable == 2, LIMIT)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_dropped_kubelet_is_gone() {
    let Node { kubelet, root } = Node::new().await;
    let dir = root.path().join("device-plugins");
    let plugin = Plugin::serve(&dir, "nic.sock", vec![healthy("a")], Answers::default());
    register(&dir, "nic.sock", NIC).await.unwrap();
    kubelet
        .wait_for(NIC, |view| view.streaming, LIMIT)
        .await
        .unwrap();
    let mut idle = UnixStream::connect(kubelet.socket()).await.unwrap();
    let socket = kubelet.socket();
    drop(kubelet);
    timeout(LIMIT, plugin.streams(0)).await.unwrap();
    // A connection that was open, accepted or not, ends.
    let mut rest = Vec::new();
    let read = idle.read_to_end(&mut rest);
    drop(timeout(LIMIT, read).await.unwrap());
    assert!(UnixStream::connect(socket).await.is_err());
}
