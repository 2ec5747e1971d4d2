//! What a kubelet remembers.

use std::{collections::BTreeMap, fs, time::Duration};

use kubelet_api::deviceplugin::v1beta1::{Device, HEALTHY, NumaNode, TopologyInfo};
use node_sim::{
    AdmissionError, Checkpoint, CheckpointEntry, Damage, EventKind, Kubelet, PodSpec, ResourceView,
    Restart,
};

use super::{LIMIT, NIC, Node, plugin::Answers};

fn on_node(id: &str, node: i64) -> Device {
    let nodes = vec![NumaNode { id: node }];
    Device {
        id: id.to_owned(),
        health: HEALTHY.to_owned(),
        topology: Some(TopologyInfo { nodes }),
    }
}

#[tokio::test]
async fn lists_and_pods_are_written_and_pods_that_go_stay_until_the_next_write() {
    let node = Node::new().await;
    let devices = vec![on_node("a", 0), on_node("b", 1)];
    let plugin = node
        .plugin("nic.sock", NIC, devices, Answers::default())
        .await;
    let written = Checkpoint::read(node.dir()).unwrap();
    assert_eq!(written.entries, []);
    assert_eq!(written.registered[NIC], ["a", "b"]);

    let pod = node.kubelet.admit([(NIC, 2)]).await.unwrap();
    let written = Checkpoint::read(node.dir()).unwrap();
    let [entry] = &written.entries[..] else {
        panic!("{written:?}");
    };
    assert_eq!(entry.pod_uid, pod.uid);
    assert_eq!((&*entry.container, &*entry.resource), ("main", NIC));
    let expected = [(0, vec!["a".to_owned()]), (1, vec!["b".to_owned()])];
    assert_eq!(entry.devices, BTreeMap::from(expected));

    assert!(node.kubelet.delete(&pod));
    assert_eq!(Checkpoint::read(node.dir()).unwrap(), written);
    // A pod that is gone has no devices after a restart, whatever the file says.
    node.kubelet
        .restart(Restart::WipeSockets, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(node.kubelet.pods(), []);
    assert_eq!(node.kubelet.resource(NIC).unwrap().assigned, 0);
    drop(plugin);
}

#[tokio::test]
async fn a_new_kubelet_takes_over_pods_and_resources_of_the_old_one() {
    let node = Node::new().await;
    let plugin = node.nic(&["a", "b"], Answers::default()).await;
    let pod = node.kubelet.admit([(NIC, 1)]).await.unwrap();
    node.kubelet.stop().await;
    drop(plugin);

    let next = Kubelet::start(node.dir()).await.unwrap();
    let view = next.resource(NIC).unwrap();
    assert_eq!(
        (view.capacity, view.assigned, view.streaming),
        (0, 1, false)
    );
    let [kept] = &next.pods()[..] else {
        panic!("{:?}", next.pods());
    };
    assert_eq!(kept.uid, pod.uid);
    assert_eq!(kept.devices, pod.devices);
    assert_eq!(kept.answer, pod.answer);
    assert!(next.delete(kept));
    assert_eq!(next.resource(NIC).unwrap().assigned, 0);
}

#[tokio::test]
async fn a_checkpoint_from_before_1_20_is_understood() {
    let root = node_sim::scratch().unwrap();
    let left = Checkpoint {
        entries: vec![CheckpointEntry::new("old-pod", NIC, ["a", "b"])],
        registered: BTreeMap::from([(NIC.to_owned(), vec!["a".to_owned(), "b".to_owned()])]),
    };
    left.write_before_1_20(root.path()).unwrap();
    let text = fs::read_to_string(root.path().join(Checkpoint::FILE)).unwrap();
    assert!(text.contains(r#""DeviceIDs":["a","b"]"#), "{text}");

    let kubelet = Kubelet::start(root.path()).await.unwrap();
    assert_eq!(kubelet.resource(NIC).unwrap().assigned, 2);
    assert_eq!(kubelet.pods()[0].uid, "old-pod");
}

#[tokio::test]
async fn a_damaged_checkpoint_makes_the_kubelet_forget() {
    for damage in [Damage::Truncated, Damage::Checksum] {
        let node = Node::new().await;
        let plugin = node.nic(&["a"], Answers::default()).await;
        let pod = node.kubelet.admit([(NIC, 1)]).await.unwrap();
        node.kubelet.stop().await;
        drop(plugin);
        Checkpoint::damage(node.dir(), damage).unwrap();
        let how = Restart::WipeSockets;
        node.kubelet.resume(how, Duration::ZERO).await.unwrap();
        assert_eq!(node.kubelet.resource(NIC), None);
        let failed = |kind: &EventKind| matches!(kind, EventKind::CheckpointFailed { .. });
        assert_eq!(node.kubelet.transcript().count(failed), 1);
        // The pod runs, and the device that it has is given to another one.
        assert_eq!(node.kubelet.pods()[0].uid, pod.uid);
        let _plugin = node.nic(&["a"], Answers::default()).await;
        let thief = node.kubelet.admit([(NIC, 1)]).await.unwrap();
        assert_eq!(thief.devices, pod.devices);
    }
}

#[tokio::test]
async fn without_a_checkpoint_no_pod_is_admitted() {
    let node = Node::new().await;
    let _plugin = node.nic(&["a"], Answers::default()).await;
    fs::remove_dir_all(node.dir()).unwrap();
    let error = node.kubelet.admit([(NIC, 1)]).await.unwrap_err();
    assert!(
        matches!(error, AdmissionError::Checkpoint { .. }),
        "{error}"
    );
    // A pod without devices needs none.
    node.kubelet.admit(PodSpec::new("plain")).await.unwrap();
    let free = |view: &ResourceView| view.assigned == 0;
    node.kubelet.wait_for(NIC, free, LIMIT).await.unwrap();
}
