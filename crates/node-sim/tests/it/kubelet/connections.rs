//! Connections end when they should, on both sides.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use node_sim::{Fault, Kubelet, KubeletOptions};
use tokio::{task::yield_now, time::timeout};

use super::{
    LIMIT, NIC, Node,
    plugin::{Answers, Plugin, healthy, register},
};

#[tokio::test]
async fn the_kubelet_hangs_up_for_good() {
    let node = Node::new().await;
    let plugin = node.nic(&["a"], Answers::default()).await;
    plugin.connections(1).await;
    assert!(node.kubelet.hang_up(NIC));
    // The plugin reads the end of the connection, not only that of its stream.
    timeout(LIMIT, plugin.connections(0)).await.unwrap();
}

#[tokio::test]
async fn a_kubelet_that_stops_closes_its_connections_to_plugins() {
    let node = Node::new().await;
    let plugin = node.nic(&["a"], Answers::default()).await;
    plugin.connections(1).await;
    node.kubelet.stop().await;
    timeout(LIMIT, plugin.connections(0)).await.unwrap();
}

#[tokio::test]
async fn a_dropped_kubelet_closes_its_connections_to_plugins() {
    let Node { kubelet, root } = Node::new().await;
    let dir = root.path().join("device-plugins");
    let answers = Answers::default();
    let plugin = Plugin::serve(&dir, "nic.sock", vec![healthy("a")], answers);
    register(&dir, "nic.sock", NIC).await.unwrap();
    plugin.connections(1).await;
    drop(kubelet);
    timeout(LIMIT, plugin.connections(0)).await.unwrap();
}

/// The descriptors of this process that are sockets with the name of `kubelet.sock`: the
/// listener, and all accepted connections. Other tests of the process do not count.
fn descriptors(kubelet: &Kubelet) -> usize {
    let path = kubelet.socket();
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    let inodes: BTreeSet<PathBuf> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns.get(7).is_some_and(|name| Path::new(name) == path))
        .map(|columns| PathBuf::from(format!("socket:[{}]", columns[6])))
        .collect();
    // A descriptor may be gone before it is looked at.
    let links = fs::read_dir("/proc/self/fd").unwrap();
    links
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| inodes.contains(target))
        .count()
}

#[tokio::test]
async fn refused_registrations_leave_no_descriptor_behind() {
    let options = KubeletOptions::new().always(Fault::refuse("full"));
    let node = Node::with(options).await;
    assert_eq!(descriptors(&node.kubelet), 1);
    for _ in 0..200 {
        register(node.dir(), "nic.sock", NIC).await.unwrap_err();
    }
    let only_the_listener = async {
        while descriptors(&node.kubelet) > 1 {
            yield_now().await;
        }
    };
    let left = timeout(LIMIT, only_the_listener).await;
    assert!(left.is_ok(), "{} left", descriptors(&node.kubelet));
}
