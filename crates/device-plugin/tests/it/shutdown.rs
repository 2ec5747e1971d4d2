//! The end.

use crate::{
    kubelet::{DEADLINE, Event, Kubelet, dial},
    plugin::{Node, Ports, resource, wait_for},
};
use device_plugin::State;
use kubelet_api::deviceplugin::v1beta1::{AllocateRequest, ContainerAllocateRequest};
use node_sim::{Fault, Kubelet as SimKubelet, KubeletOptions};
use std::time::{Duration, Instant};
use tokio::{
    io::AsyncReadExt,
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::timeout,
};

#[tokio::test]
async fn streams_end_idle_connections_are_cut_and_sockets_removed() {
    let mut node = Node::new();
    let mut kubelet = Kubelet::start(node.path());
    node.offer(&Ports::new(&["a"]));
    assert_eq!(kubelet.list().await, ["a"]);
    let mut idle = UnixStream::connect(node.socket()).await.unwrap();
    let mut states = node.supervisor.states();

    let begun = Instant::now();
    // The grace is longer than a test may take: whoever used it up would be seen here.
    let ended = timeout(DEADLINE, node.supervisor.shutdown(DEADLINE * 10)).await;
    assert!(ended.is_ok(), "an idle connection uses up the grace");
    println!("shutdown with an idle connection: {:?}", begun.elapsed());

    assert_eq!(kubelet.next().await, Event::StreamEnded(1));
    let mut rest = Vec::new();
    // An HTTP/2 server may say good-bye first.
    let end = timeout(DEADLINE, idle.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the idle connection is still open");
    wait_for(&mut states, &State::Stopped).await;
    assert!(!node.dir.path().join("example.com-port.sock").exists());
}

#[tokio::test]
async fn a_call_may_end_within_the_grace_and_not_after() {
    for (thinks, grace, answered) in [
        (Duration::from_millis(300), DEADLINE, true),
        (DEADLINE * 10, Duration::from_millis(300), false),
    ] {
        let mut node = Node::new();
        let mut kubelet = Kubelet::start(node.path());
        let ports = Ports::thinking(&["a"], thinks);
        node.offer(&ports);
        assert_eq!(kubelet.list().await, ["a"]);
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

        let socket = node.socket();
        node.supervisor.shutdown(grace).await;
        assert!(!socket.exists());
        let answer = timeout(DEADLINE, calls.join_next()).await.unwrap().unwrap();
        assert_eq!(answer.unwrap().is_ok(), answered);
    }
}

/// Whatever a resource waits for, it ends at once when it is told to.
#[tokio::test]
async fn no_state_uses_up_the_grace() {
    type Reached = fn(&State) -> bool;
    let long = DEADLINE * 10;
    let cases: [(&str, Option<Fault>, Reached); 6] = [
        ("no device", None, |state| {
            *state == State::WaitingForDevices
        }),
        ("no kubelet", None, |state| {
            *state == State::WaitingForKubelet
        }),
        ("socket in use", None, |state| {
            matches!(state, State::SocketInUse { .. })
        }),
        (
            "a slow Register",
            Some(Fault::DelayRegister(long)),
            |state| *state == State::Registering,
        ),
        ("a refused Register", Some(Fault::refuse("no")), |state| {
            matches!(state, State::Refused { .. })
        }),
        ("no stream", Some(Fault::NoDialBack), |state| {
            *state == State::Registered
        }),
    ];
    for (what, fault, reached) in cases {
        let mut node = Node::new();
        let mut kubelet = None;
        if what != "no kubelet" {
            let options = KubeletOptions::new();
            let options = fault.into_iter().fold(options, KubeletOptions::always);
            kubelet = Some(SimKubelet::start_with(node.path(), options).await.unwrap());
        }
        let path = node.socket();
        let other = (what == "socket in use").then(|| UnixListener::bind(&path).unwrap());
        node.offer(&Ports::new(if what == "no device" { &[] } else { &["a"] }));
        let mut states = node.supervisor.states();
        let there = states.wait_for(|states| states.get(&resource()).is_some_and(reached));
        assert!(
            timeout(DEADLINE, there).await.is_ok(),
            "{what} was not reached"
        );

        let ended = timeout(DEADLINE, node.supervisor.shutdown(long)).await;
        assert!(ended.is_ok(), "{what} uses up the grace");
        assert_eq!(path.exists(), other.is_some(), "{what}: the socket");
        drop(kubelet);
    }
}

#[tokio::test]
async fn a_withdrawn_resource_is_gone_and_can_come_back() {
    let mut node = Node::new();
    let mut kubelet = Kubelet::start(node.path());
    for stream in 1..3 {
        node.offer(&Ports::new(&["a"]));
        assert_eq!(kubelet.list().await, ["a"]);
        node.supervisor.withdraw(&resource()).await;
        assert_eq!(kubelet.next().await, Event::StreamEnded(stream));
        assert!(!node.socket().exists());
        assert!(node.supervisor.states().borrow().is_empty());
    }
    node.supervisor.withdraw(&resource()).await;
}
