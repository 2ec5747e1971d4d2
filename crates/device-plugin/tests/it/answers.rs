//! The calls of the kubelet, and their answers.

use crate::{
    kubelet::{Kubelet, dial},
    plugin::{Node, Ports},
};
use kubelet_api::deviceplugin::v1beta1::{
    AllocateRequest, ContainerAllocateRequest, ContainerPreferredAllocationRequest, Empty,
    PreStartContainerRequest, PreferredAllocationRequest, device_plugin_client::DevicePluginClient,
};
use std::{sync::Arc, time::Duration};
use tokio::time::pause;
use tonic::{Code, Status, transport::Channel};

type Client = DevicePluginClient<Channel>;

async fn client(ports: &Arc<Ports>) -> (Node, Kubelet, Client) {
    let mut node = Node::new();
    let mut kubelet = Kubelet::start(node.path());
    node.offer(ports);
    kubelet.list().await;
    let client = dial(&node.socket()).await;
    (node, kubelet, client)
}

fn texts(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

/// Returns what each container got.
async fn allocate(client: &mut Client, containers: &[&[&str]]) -> Result<Vec<String>, Status> {
    let requests = containers.iter().map(|ids| ContainerAllocateRequest {
        devices_ids: texts(ids),
    });
    let container_requests = requests.collect();
    let response = client
        .allocate(AllocateRequest { container_requests })
        .await?;
    let responses = response.into_inner().container_responses.into_iter();
    Ok(responses
        .map(|mut answer| answer.envs.remove("PORTS").unwrap())
        .collect())
}

#[tokio::test]
async fn each_container_gets_exactly_its_devices_in_order() {
    let ports = Ports::new(&["a", "b", "c", "d"]);
    let (_node, _kubelet, mut client) = client(&ports).await;
    let answers = allocate(&mut client, &[&["c", "a"], &["b"]]).await.unwrap();
    assert_eq!(answers, ["a,c", "b"]);
}

#[tokio::test]
async fn a_refusal_has_a_code_and_a_sentence() {
    let ports = Ports::new(&["a", "b", "!sick", "cursed"]);
    let (_node, _kubelet, mut client) = client(&ports).await;
    let cases: [(&[&[&str]], Code, &str); 7] = [
        (&[&["a", "x"]], Code::NotFound, "there is no device `x`"),
        (
            &[&["a", "\u{1b}"]],
            Code::InvalidArgument,
            "`\\u{1b}` is not the ID of a device",
        ),
        (
            &[&["sick"]],
            Code::FailedPrecondition,
            "device `sick` is unhealthy: it coughs",
        ),
        (
            &[&["a", "a"]],
            Code::InvalidArgument,
            "the request names device `a` twice",
        ),
        (
            &[&["a"], &["b", "a"]],
            Code::InvalidArgument,
            "the request names device `a` twice",
        ),
        (&[&[]], Code::InvalidArgument, "the request names no device"),
        (
            &[&["cursed", "a"]],
            Code::FailedPrecondition,
            "device `cursed` is cursed; get a priest",
        ),
    ];
    for (containers, code, message) in cases {
        let status = allocate(&mut client, containers).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
    }
    assert_eq!(
        allocate(&mut client, &[&["a"]]).await.unwrap(),
        ["a"],
        "and on it goes"
    );
}

#[tokio::test]
async fn devices_are_checked_as_they_are_now() {
    let ports = Ports::new(&["a"]);
    let (_node, _kubelet, mut client) = client(&ports).await;
    ports.publish(&["!a", "b"]);
    let status = allocate(&mut client, &[&["a"]]).await.unwrap_err();
    assert_eq!(status.message(), "device `a` is unhealthy");
    assert_eq!(allocate(&mut client, &[&["b"]]).await.unwrap(), ["b"]);
}

#[tokio::test]
async fn a_plugin_that_thinks_for_ever_is_cut_short() {
    let ports = Ports::thinking(&["a"], Duration::from_hours(1));
    let (_node, _kubelet, mut client) = client(&ports).await;
    // With the clock stopped, tokio jumps to the next timer when nothing else is left to do.
    pause();
    let status = allocate(&mut client, &[&["a"]]).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(
        status.message(),
        "the device plugin did not answer within 10 s"
    );
}

#[tokio::test]
async fn a_preference_is_brought_into_order_and_never_fails() {
    let ports = Ports::new(&["a", "b", "c", "d"]);
    let (_node, _kubelet, mut client) = client(&ports).await;
    let mut prefer = async |available: &[&str], must_include: &[&str], size: i32| {
        let request = ContainerPreferredAllocationRequest {
            available_device_i_ds: texts(available),
            must_include_device_i_ds: texts(must_include),
            allocation_size: size,
        };
        let container_requests = vec![request];
        let request = PreferredAllocationRequest { container_requests };
        let response = client.get_preferred_allocation(request).await.unwrap();
        response
            .into_inner()
            .container_responses
            .swap_remove(0)
            .device_i_ds
    };
    assert_eq!(prefer(&["d", "a", "c", "b"], &["a"], 2).await, ["a", "d"]);
    assert_eq!(prefer(&["a", "b"], &[], 5).await, ["a", "b"]);
    assert_eq!(prefer(&["a", "", "a"], &[], 2).await, ["a"]);
    assert_eq!(prefer(&["a", "b"], &[], -1).await, [""; 0]);
}

#[tokio::test]
async fn a_container_is_prepared_even_with_a_device_that_has_become_unhealthy() {
    let ports = Ports::new(&["a", "!sick", "cursed"]);
    let (_node, _kubelet, mut client) = client(&ports).await;
    let mut pre_start = async |ids: &[&str]| {
        let devices_ids = texts(ids);
        client
            .pre_start_container(PreStartContainerRequest { devices_ids })
            .await
    };
    assert!(pre_start(&["sick", "a"]).await.is_ok());
    assert_eq!(pre_start(&["x"]).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(
        pre_start(&["cursed"]).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
}

#[tokio::test]
async fn several_may_listen() {
    let ports = Ports::new(&["a"]);
    let (_node, mut kubelet, mut client) = client(&ports).await;
    let mut lists = client.list_and_watch(Empty {}).await.unwrap().into_inner();
    assert_eq!(lists.message().await.unwrap().unwrap().devices.len(), 1);
    ports.publish(&["a", "b"]);
    assert_eq!(lists.message().await.unwrap().unwrap().devices.len(), 2);
    assert_eq!(kubelet.list().await, ["a", "b"]);
}
