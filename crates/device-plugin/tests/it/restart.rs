//! The kubelet dies, restarts and hangs up.

use crate::{
    kubelet::{DEADLINE, Event, Kubelet, dial},
    plugin::{Node, Ports},
};
use device_plugin::State;
use kubelet_api::deviceplugin::v1beta1::{AllocateRequest, ContainerAllocateRequest};
use std::{fs, sync::Arc, time::Instant};
use tokio::{task::JoinSet, time::timeout};

async fn streaming() -> (Arc<Ports>, Node, Kubelet) {
    let ports = Ports::new(&["a"]);
    let mut node = Node::new();
    let mut kubelet = Kubelet::start(node.path());
    node.offer(&ports);
    assert_eq!(kubelet.list().await, ["a"]);
    node.state(State::Streaming).await;
    (ports, node, kubelet)
}

#[tokio::test]
async fn a_restarted_kubelet_gets_the_list_every_time() {
    let (ports, _node, mut kubelet) = streaming().await;
    for _ in 0..3 {
        kubelet.die().await;
        kubelet.revive();
        let back = Instant::now();
        assert_eq!(kubelet.list().await, ["a"]);
        println!("kubelet back to list: {:?}", back.elapsed());
    }
    ports.publish(&["a", "b"]);
    assert_eq!(kubelet.list().await, ["a", "b"], "and changes after that");
}

#[tokio::test]
async fn a_kubelet_that_is_away_for_a_while_is_seen_when_it_is_back() {
    let (ports, node, mut kubelet) = streaming().await;
    kubelet.die().await;
    // The socket of the dead kubelet is still there.
    node.state(State::WaitingForKubelet).await;
    fs::remove_file(node.path().join("kubelet.sock")).unwrap();
    ports.publish(&["b"]);
    kubelet.revive();
    let back = Instant::now();
    assert_eq!(kubelet.list().await, ["b"]);
    println!("kubelet back to list: {:?}", back.elapsed());
}

#[tokio::test]
async fn a_stream_that_is_cut_leads_to_a_new_registration() {
    let (_ports, node, mut kubelet) = streaming().await;
    for stream in 2..5 {
        kubelet.cut_stream();
        assert!(matches!(kubelet.next().await, Event::Register(_)));
        assert!(matches!(kubelet.next().await, Event::Options(_)));
        assert_eq!(
            kubelet.next().await,
            Event::List(stream, vec!["a".to_owned()])
        );
        node.state(State::Streaming).await;
    }
}

#[tokio::test]
async fn the_old_stream_ends_before_the_new_register() {
    let (_ports, node, mut kubelet) = streaming().await;
    for stream in 1..4 {
        fs::remove_file(node.socket()).unwrap();
        assert_eq!(kubelet.next().await, Event::StreamEnded(stream));
        assert!(matches!(kubelet.next().await, Event::Register(_)));
        assert!(matches!(kubelet.next().await, Event::Options(_)));
        assert_eq!(
            kubelet.next().await,
            Event::List(stream + 1, vec!["a".to_owned()])
        );
        node.state(State::Streaming).await;
    }
}

#[tokio::test]
async fn a_call_that_hangs_does_not_hold_up_the_new_registration() {
    let ports = Ports::thinking(&["a"], DEADLINE * 10);
    let mut node = Node::new();
    let mut kubelet = Kubelet::start(node.path());
    node.offer(&ports);
    assert_eq!(kubelet.list().await, ["a"]);
    node.state(State::Streaming).await;
    let mut client = dial(&node.socket()).await;
    let mut calls = JoinSet::new();
    calls.spawn(async move {
        let devices_ids = vec!["a".to_owned()];
        let container_requests = vec![ContainerAllocateRequest { devices_ids }];
        client
            .allocate(AllocateRequest { container_requests })
            .await
    });
    timeout(DEADLINE, ports.begun.notified()).await.unwrap();

    let begun = Instant::now();
    fs::remove_file(node.socket()).unwrap();
    assert_eq!(kubelet.next().await, Event::StreamEnded(1));
    assert_eq!(kubelet.list().await, ["a"]);
    println!("socket gone to list: {:?}", begun.elapsed());
    let answer = timeout(DEADLINE, calls.join_next()).await.unwrap().unwrap();
    assert!(answer.unwrap().is_err(), "its connection was cut");
}
