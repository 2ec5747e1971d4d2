//! The kubelet's answers to "who has which device?".

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use kubelet_api::{
    deviceplugin::v1beta1::{Device, HEALTHY, NumaNode, TopologyInfo},
    podresources::v1::{
        AllocatableResourcesRequest, GetPodResourcesRequest, ListPodResourcesRequest,
        PodResources as PodMessage, pod_resources_lister_client::PodResourcesListerClient,
    },
};
use node_sim::{EventKind, Fault, KubeletOptions, PodResources, PodSpec, Restart};
use tokio::time::timeout;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Error},
};

use super::{NIC, Node, plugin::Answers};

type Client = PodResourcesListerClient<Channel>;

async fn dial(socket: Option<PathBuf>) -> Result<Client, Error> {
    let socket = format!("unix:{}", socket.unwrap().display());
    let channel = Endpoint::from_shared(socket)?.connect().await?;
    Ok(PodResourcesListerClient::new(channel))
}

async fn client(node: &Node) -> Client {
    dial(node.kubelet.pod_resources_socket()).await.unwrap()
}

async fn list(client: &mut Client) -> Result<Vec<PodMessage>, Status> {
    let answer = client.list(ListPodResourcesRequest {}).await?;
    Ok(answer.into_inner().pod_resources)
}

async fn get(client: &mut Client, name: &str) -> Result<PodMessage, Status> {
    let request = GetPodResourcesRequest {
        pod_name: name.to_owned(),
        pod_namespace: "default".to_owned(),
    };
    let answer = client.get(request).await?.into_inner();
    Ok(answer.pod_resources.unwrap())
}

/// Resource, IDs and NUMA nodes of each entry, sorted.
type Held = Vec<(String, Vec<String>, Vec<i64>)>;

fn held(pod: &PodMessage) -> Held {
    let containers = pod.containers.iter();
    let mut held: Held = containers
        .flat_map(|container| &container.devices)
        .map(|devices| {
            let topology = devices.topology.iter();
            let nodes = topology.flat_map(|topology| topology.nodes.iter().map(|node| node.id));
            let ids = devices.device_ids.clone();
            (devices.resource_name.clone(), ids, nodes.collect())
        })
        .collect();
    held.sort_unstable();
    held
}

fn on_node(id: &str, nodes: &[i64]) -> Device {
    let nodes = nodes.iter().map(|&id| NumaNode { id }).collect();
    Device {
        id: id.to_owned(),
        health: HEALTHY.to_owned(),
        topology: Some(TopologyInfo { nodes }),
    }
}

fn entry(ids: &[&str], nodes: &[i64]) -> (String, Vec<String>, Vec<i64>) {
    let ids = ids.iter().map(ToString::to_string).collect();
    (NIC.to_owned(), ids, nodes.to_vec())
}

#[tokio::test]
async fn pods_are_listed_with_their_devices_one_by_one() {
    let node = Node::new().await;
    let devices = vec![on_node("a", &[0]), on_node("b", &[0, 1])];
    let _plugin = node
        .plugin("nic.sock", NIC, devices, Answers::default())
        .await;
    let mut client = client(&node).await;
    assert_eq!(list(&mut client).await.unwrap(), []);

    let spec = PodSpec::new("vm").namespace("tenants").container("compute");
    let pod = node.kubelet.admit(spec.request(NIC, 2)).await.unwrap();
    node.kubelet.admit(PodSpec::new("plain")).await.unwrap();
    let listed = list(&mut client).await.unwrap();
    let listed: BTreeMap<_, _> = listed.iter().map(|pod| (&*pod.name, pod)).collect();
    assert_eq!(listed["vm"].namespace, "tenants");
    assert_eq!(listed["vm"].containers[0].name, "compute");
    let expected = [
        entry(&["a"], &[0]),
        entry(&["b"], &[0]),
        entry(&["b"], &[1]),
    ];
    assert_eq!(held(listed["vm"]), expected);
    assert_eq!(held(listed["plain"]), []);

    let plain = get(&mut client, "plain").await.unwrap();
    assert_eq!(plain.namespace, "default");
    let missing = get(&mut client, "vm").await.unwrap_err();
    assert_eq!(missing.message(), "pod vm in namespace default not found");

    assert!(node.kubelet.delete(&pod));
    assert_eq!(list(&mut client).await.unwrap(), [plain]);
}

#[tokio::test]
async fn what_can_be_given_is_what_is_healthy() {
    let node = Node::new().await;
    let mut sick = on_node("b", &[1]);
    sick.health = "Unhealthy".to_owned();
    let devices = vec![on_node("a", &[0]), sick];
    let _plugin = node
        .plugin("nic.sock", NIC, devices, Answers::default())
        .await;
    let mut client = client(&node).await;
    let answer = client
        .get_allocatable_resources(AllocatableResourcesRequest {})
        .await
        .unwrap()
        .into_inner();
    let ids: Vec<_> = answer.devices.iter().map(|d| &d.device_ids[..]).collect();
    assert_eq!(ids, [["a".to_owned()]]);
}

#[tokio::test]
async fn versions_differ() {
    for (version, allocatable, one, entries, completed) in [
        (
            PodResources::V1_20,
            Code::Unimplemented,
            Code::Unimplemented,
            1,
            true,
        ),
        (PodResources::V1_23, Code::Ok, Code::Unimplemented, 2, true),
        (PodResources::V1_27, Code::Ok, Code::Unknown, 2, true),
        (PodResources::V1_34, Code::Ok, Code::Ok, 2, false),
    ] {
        let node = Node::with(KubeletOptions::new().pod_resources(version)).await;
        let _plugin = node.nic(&["a", "b"], Answers::default()).await;
        let pod = PodSpec::new("vm").request(NIC, 2);
        let pod = node.kubelet.admit(pod).await.unwrap();
        let mut client = client(&node).await;
        let answer = client
            .get_allocatable_resources(AllocatableResourcesRequest {})
            .await;
        let code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(code, allocatable, "{version:?}");
        let answer = get(&mut client, "vm").await;
        let code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(code, one, "{version:?}");
        let listed = list(&mut client).await.unwrap();
        assert_eq!(listed[0].containers[0].devices.len(), entries);
        assert!(node.kubelet.complete(&pod));
        assert!(!node.kubelet.complete(&pod));
        let listed = list(&mut client).await.unwrap();
        assert_eq!(listed.len(), usize::from(completed), "{version:?}");
        assert!(listed.iter().all(|pod| held(pod).is_empty()));
    }
    let node = Node::with(KubeletOptions::new().pod_resources(PodResources::Absent)).await;
    assert_eq!(node.kubelet.pod_resources_socket(), None);
    assert!(!node.root.path().join("pod-resources").exists());
}

#[tokio::test]
async fn a_client_in_a_hurry_is_refused() {
    let node = Node::new().await;
    let mut client = client(&node).await;
    let refused = async {
        loop {
            if let Err(status) = list(&mut client).await {
                break status;
            }
        }
    };
    let refused = timeout(super::LIMIT, refused).await.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.message(), "rejected by rate limit");
    let answered = |kind: &EventKind| matches!(kind, EventKind::PodResources { error: None, .. });
    assert!(node.kubelet.transcript().count(answered) >= 10);
}

#[tokio::test]
async fn faults_strike_calls() {
    let node = Node::new().await;
    let mut client = client(&node).await;
    node.kubelet.once(Fault::RefusePodResources {
        message: "not today".to_owned(),
    });
    let refused = list(&mut client).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unknown, "not today")
    );
    assert_eq!(list(&mut client).await.unwrap(), []);
    node.kubelet.once(Fault::HangPodResources);
    let hung = timeout(Duration::from_millis(50), list(&mut client)).await;
    assert!(hung.is_err());
    assert_eq!(list(&mut client).await.unwrap(), []);
}

#[tokio::test]
async fn the_socket_goes_and_comes_with_the_kubelet() {
    let node = Node::new().await;
    let _plugin = node.nic(&["a"], Answers::default()).await;
    node.kubelet.admit([(NIC, 1)]).await.unwrap();
    let mut old = client(&node).await;
    let before = list(&mut old).await.unwrap();
    node.kubelet.stop().await;
    assert!(list(&mut old).await.is_err());
    let socket = node.kubelet.pod_resources_socket();
    assert!(socket.as_ref().unwrap().exists(), "as after a kill");
    assert!(dial(socket).await.is_err());
    node.kubelet
        .resume(Restart::WipeSockets, Duration::ZERO)
        .await
        .unwrap();
    let mut new = client(&node).await;
    assert_eq!(list(&mut new).await.unwrap(), before);
}
