//! From the start to the first list, and on.

use crate::{
    kubelet::{Event, Kubelet},
    plugin::{Node, Ports, resource, wait_for},
};
use device_plugin::{DevicePlugin, KubeletDir, OfferError, State, Supervisor};
use kubelet_api::deviceplugin::v1beta1::DevicePluginOptions;
use std::{fs, sync::Arc};
use tonic::Status;

#[tokio::test]
async fn registers_with_a_dial_back_and_lists_only_changes() {
    let ports = Ports::new(&["b", "a", "!sick"]);
    let mut node = Node::new();
    let mut kubelet = Kubelet::start(node.path());
    node.offer(&ports);

    assert_eq!(
        kubelet.next().await,
        Event::Register("example.com/port".to_owned())
    );
    let options = DevicePluginOptions {
        pre_start_required: true,
        get_preferred_allocation_available: true,
    };
    assert_eq!(kubelet.next().await, Event::Options(options));
    assert_eq!(kubelet.list().await, ["a", "b", "!sick"]);
    node.state(State::Streaming).await;

    ports.publish(&["!sick", "a", "b"]);
    ports.publish(&["a"]);
    assert_eq!(
        kubelet.list().await,
        ["a"],
        "no list for a set that is the same"
    );
    ports.publish(&[]);
    assert_eq!(kubelet.list().await, [""; 0]);
    assert!(kubelet.is_quiet());
}

#[tokio::test]
async fn nothing_is_registered_before_there_is_a_device() {
    let ports = Ports::new(&[]);
    let mut node = Node::new();
    let mut kubelet = Kubelet::start(node.path());
    node.offer(&ports);
    node.state(State::WaitingForDevices).await;
    assert!(!node.socket().exists());
    assert!(kubelet.is_quiet());

    ports.publish(&["a"]);
    assert_eq!(kubelet.list().await, ["a"], "the first list is not empty");
}

#[tokio::test]
async fn a_kubelet_that_comes_late_is_waited_for() {
    let node = Node::offering(&Ports::new(&["a"]));
    node.state(State::WaitingForKubelet).await;
    assert!(!node.socket().exists(), "the kubelet would remove it");
    let mut kubelet = Kubelet::start(node.path());
    assert_eq!(kubelet.list().await, ["a"]);
}

#[tokio::test]
async fn a_directory_that_comes_late_is_waited_for() {
    let parent = node_sim::scratch().unwrap();
    let dir = parent.path().join("device-plugins");
    let mut supervisor = Supervisor::new(KubeletDir::new(&dir));
    supervisor.offer(resource(), Ports::new(&["a"])).unwrap();
    wait_for(&mut supervisor.states(), &State::WaitingForKubelet).await;

    fs::create_dir(&dir).unwrap();
    let mut kubelet = Kubelet::start(&dir);
    assert_eq!(kubelet.list().await, ["a"]);
}

#[tokio::test]
async fn a_refusal_is_shown_and_tried_again() {
    let node = Node::offering(&Ports::new(&["a"]));
    let refusals = (0..4).map(|_| Status::unknown("not on my node"));
    let mut kubelet = Kubelet::start_refusing(node.path(), refusals);
    let message = "not on my node".to_owned();
    node.state(State::Refused { message }).await;
    assert_eq!(kubelet.list().await, ["a"]);
    node.state(State::Streaming).await;
}

#[tokio::test]
async fn ten_thousand_devices_fit_in_a_list() {
    let ids: Vec<String> = (0..10_000).map(|n| format!("{n:0>63}")).collect();
    let refs: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut node = Node::new();
    let mut kubelet = Kubelet::start(node.path());
    node.offer(&Ports::new(&refs));
    assert_eq!(kubelet.list().await, ids);
}

#[tokio::test]
async fn an_offer_is_refused_when_it_cannot_work() {
    let mut node = Node::offering(&Ports::new(&["a"]));
    let again = node.supervisor.offer(resource(), Ports::new(&["a"]));
    assert!(matches!(again, Err(OfferError::AlreadyOffered { .. })));

    let long = format!("example.com/{}", "n".repeat(63)).parse().unwrap();
    let deep = KubeletDir::new(node.path().join("d".repeat(60)));
    let socketless = Supervisor::new(deep).offer(long, Ports::new(&["a"]));
    assert!(matches!(socketless, Err(OfferError::Socket { .. })));
}

#[test]
fn an_offer_needs_a_runtime() {
    let ports: Arc<dyn DevicePlugin> = Ports::new(&["a"]);
    let offered = Supervisor::new(KubeletDir::default()).offer(resource(), ports);
    assert!(matches!(offered, Err(OfferError::NoRuntime { .. })));
}
