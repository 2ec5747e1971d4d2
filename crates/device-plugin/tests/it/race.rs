//! Kubelets up to 1.36 mistake the late end of an old stream for that of the new one.
//!
//! The kubelet here is the one of `node-sim`, which has the race. A plugin that registers
//! again without more thought ends at zero devices for good. Ours does not.

mod naive;

use crate::{
    kubelet::DEADLINE,
    plugin::{Node, Ports},
};
use device_plugin::State;
use naive::Naive;
use node_sim::{
    EventKind, Fault, Kubelet, KubeletOptions, Reregistration, ResourceView, StreamEnd,
};
use std::{fs, path::Path, time::Duration};

const PORT: &str = "example.com/port";

fn race() -> KubeletOptions {
    KubeletOptions::new().reregistration(Reregistration::RaceUntil136)
}

async fn healthy(kubelet: &Kubelet) {
    let all = |view: &ResourceView| view.streaming && view.allocatable == 2;
    kubelet.wait_for(PORT, all, DEADLINE).await.unwrap();
}

/// Removes the socket of the plugin, and waits until the kubelet has seen the end of the first
/// stream and has heard of the plugin again.
async fn lose_socket(kubelet: &Kubelet, socket: &Path) {
    let mark = kubelet.transcript().events().len();
    fs::remove_file(socket).unwrap();
    let again = |kind: &EventKind| matches!(kind, EventKind::Registered { .. });
    let ended = |kind: &EventKind| matches!(kind, EventKind::StreamEnded { stream: 1, .. });
    let event = kubelet.wait_for_event("a new registration", mark, again, DEADLINE);
    event.await.unwrap();
    let event = kubelet.wait_for_event("the end of the old stream", mark, ended, DEADLINE);
    event.await.unwrap();
}

#[tokio::test]
async fn a_naive_plugin_ends_at_zero_for_good() {
    let dir = node_sim::scratch().unwrap();
    // A plugin that stays away is forgotten after 5 min. Here it is sooner.
    let options = race().stop_grace(Duration::from_secs(1));
    let kubelet = Kubelet::start_with(dir.path(), options).await.unwrap();
    let naive = Naive::start(dir.path(), PORT, &["a", "b"]);
    healthy(&kubelet).await;
    lose_socket(&kubelet, naive.socket()).await;

    let forgotten = |kind: &EventKind| matches!(kind, EventKind::Forgotten { .. });
    let event = kubelet.wait_for_event("the resource to be forgotten", 0, forgotten, DEADLINE);
    event.await.unwrap();
    assert!(naive.serves(), "it is alive, and has no idea");
    let hung_up = |kind: &EventKind| {
        let by_kubelet = StreamEnd::Kubelet;
        matches!(kind, EventKind::StreamEnded { stream: 2, end, .. } if *end == by_kubelet)
    };
    assert_eq!(kubelet.transcript().count(hung_up), 1);
}

/// Since 1.37 the second registration is rejected, and the kubelet never notices the end of the first.
#[tokio::test]
async fn plugin_uses_another_socket_if_rejected_as_connected() {
    let mut node = Node::new();
    let options = KubeletOptions::new().reregistration(Reregistration::Fixed);
    let kubelet = Kubelet::start_with(node.path(), options).await.unwrap();
    node.offer(&Ports::new(&["a", "b"]));
    healthy(&kubelet).await;
    kubelet.once(Fault::LateStreamEnd);
    let mark = kubelet.transcript().events().len();
    fs::remove_file(node.socket()).unwrap();
    let refused = |kind: &EventKind| matches!(kind, EventKind::Refused { message, .. } if message.contains("already connected"));
    let event = kubelet.wait_for_event("a rejection", mark, refused, DEADLINE);
    event.await.unwrap();

    let elsewhere = |view: &ResourceView| view.streaming && view.endpoint.contains('~');
    kubelet.wait_for(PORT, elsewhere, DEADLINE).await.unwrap();
    healthy(&kubelet).await;
    node.state(State::Streaming).await;
}

/// The kubelet loses the socket of our plugin. Returns how often it was registered.
async fn our_plugin_loses_its_socket(fault: Option<Fault>) -> u64 {
    let mut node = Node::new();
    let kubelet = Kubelet::start_with(node.path(), race()).await.unwrap();
    node.offer(&Ports::new(&["a", "b"]));
    healthy(&kubelet).await;
    let least = if fault.is_some() { 3 } else { 2 };
    if let Some(fault) = fault {
        kubelet.once(fault);
    }
    lose_socket(&kubelet, &node.socket()).await;

    let registered = |view: &ResourceView| view.registrations >= least;
    kubelet.wait_for(PORT, registered, DEADLINE).await.unwrap();
    healthy(&kubelet).await;
    node.state(State::Streaming).await;
    kubelet.resource(PORT).unwrap().registrations
}

#[tokio::test]
async fn our_plugin_comes_back_healthy() {
    let registrations = our_plugin_loses_its_socket(None).await;
    println!("{registrations} registrations, 2 if the old stream ended in time");
}

#[tokio::test]
async fn our_plugin_comes_back_from_a_kubelet_that_sees_the_old_end_late() {
    // The second registration is lost, whatever a plugin does. So there is a third.
    let registrations = our_plugin_loses_its_socket(Some(Fault::LateStreamEnd)).await;
    println!("{registrations} registrations");
}
