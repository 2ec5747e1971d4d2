//! What is on the path of our socket already.

use crate::{
    kubelet::Kubelet,
    plugin::{Node, Ports},
};
use device_plugin::State;
use std::{fs, os::unix::net::UnixListener as StdListener};
use tokio::net::{UnixListener, UnixStream};

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let mut node = Node::new();
    let mut kubelet = Kubelet::start(node.path());
    drop(StdListener::bind(node.socket()).unwrap());
    node.offer(&Ports::new(&["a"]));
    assert_eq!(kubelet.list().await, ["a"]);
}

#[tokio::test]
async fn a_live_socket_is_never_disturbed_and_taken_when_it_is_free() {
    let mut node = Node::new();
    let mut kubelet = Kubelet::start(node.path());
    let other = UnixListener::bind(node.socket()).unwrap();
    node.offer(&Ports::new(&["a"]));
    let path = node.socket();
    node.state(State::SocketInUse { path: path.clone() }).await;
    UnixStream::connect(&path).await.unwrap();
    assert!(kubelet.is_quiet(), "nothing is registered");

    drop(other);
    assert_eq!(kubelet.list().await, ["a"]);
}

#[tokio::test]
async fn a_file_is_never_touched() {
    let mut node = Node::new();
    let mut kubelet = Kubelet::start(node.path());
    fs::write(node.socket(), "precious").unwrap();
    node.offer(&Ports::new(&["a"]));
    let message = format!(
        "`{}` is not a socket; move it away",
        node.socket().display()
    );
    node.state(State::SocketFailed { message }).await;
    assert_eq!(fs::read_to_string(node.socket()).unwrap(), "precious");

    fs::remove_file(node.socket()).unwrap();
    assert_eq!(kubelet.list().await, ["a"]);
}
