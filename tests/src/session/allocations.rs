//! What the kubelet tells about devices: by the pod-resources API and by its checkpoint.

use std::{path::Path, time::Duration};

use anyhow::Result;
use kubelet_api::{
    deviceplugin::v1beta1::ContainerAllocateResponse,
    podresources::v1::{
        AllocatableResourcesRequest, ContainerDevices, GetPodResourcesRequest,
        ListPodResourcesRequest, pod_resources_lister_client::PodResourcesListerClient,
    },
};
use node_sim::Checkpoint;
use prost::Message;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::transport::{Channel, Endpoint};

const POLL_INTERVAL: Duration = Duration::from_millis(50);
const CALLS_IN_A_BURST: usize = 40;

async fn client(socket: &Path) -> Result<PodResourcesListerClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()))?;
    Ok(PodResourcesListerClient::new(endpoint.connect().await?))
}

/// Waits until the allocatable devices of `resource` are the expected ones, and says what they
/// are then, or after 5 s.
pub(super) async fn allocatable(
    socket: &Path,
    resource: &str,
    expected: &[&str],
) -> Result<Vec<String>> {
    let end = Instant::now() + Duration::from_secs(5);
    let expected = line(expected.iter().map(ToString::to_string));
    loop {
        let request = AllocatableResourcesRequest {};
        let answer = client(socket)
            .await?
            .get_allocatable_resources(request)
            .await?;
        let devices = answer.into_inner().devices;
        let own = devices
            .iter()
            .filter(|entry| entry.resource_name == resource);
        let found = line(own.map(entry));
        if found == expected {
            return Ok(vec![found]);
        }
        if Instant::now() >= end {
            return Ok(vec![format!("{found}, and not {expected}")]);
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// What a pod has.
pub(super) async fn allocated(
    socket: &Path,
    device_plugins: &Path,
    (name, uid): (String, String),
) -> Result<Vec<String>> {
    let mut api = client(socket).await?;
    let answer = api.list(ListPodResourcesRequest {}).await?.into_inner();
    let pods = answer.pod_resources.iter().filter(|pod| pod.name == name);
    let entries = pods
        .flat_map(|pod| &pod.containers)
        .flat_map(|c| &c.devices);
    let mut facts = vec![format!("List: {}", line(entries.map(named)))];
    let request = GetPodResourcesRequest {
        pod_name: name,
        pod_namespace: "default".to_owned(),
    };
    facts.push(match api.get(request).await {
        Ok(answer) => {
            let pod = answer.into_inner().pod_resources.into_iter();
            let containers = pod.flat_map(|pod| pod.containers);
            let entries: Vec<_> = containers.flat_map(|c| c.devices).collect();
            format!("Get: {}", line(entries.iter().map(named)))
        }
        Err(status) => format!("Get: {:?}: {}", status.code(), status.message()),
    });
    let checkpoint = Checkpoint::read(device_plugins)?;
    let own = checkpoint
        .entries
        .iter()
        .filter(|entry| entry.pod_uid == uid);
    let mut own: Vec<String> = own
        .map(|entry| {
            let answer = ContainerAllocateResponse::decode(&*entry.answer).unwrap_or_default();
            let mut devices = entry.devices.clone();
            for ids in devices.values_mut() {
                ids.sort_unstable();
            }
            format!(
                "checkpoint: container {} has {} {devices:?}, answer {:?}",
                entry.container, entry.resource, answer.envs
            )
        })
        .collect();
    own.sort_unstable();
    facts.extend(own);
    Ok(facts)
}

/// Many calls at once.
pub(super) async fn burst(socket: &Path) -> Result<Vec<String>> {
    let api = client(socket).await?;
    // Calls of earlier steps count too.
    sleep(Duration::from_millis(500)).await;
    let mut calls = JoinSet::new();
    for _ in 0..CALLS_IN_A_BURST {
        let mut api = api.clone();
        calls.spawn(async move { api.list(ListPodResourcesRequest {}).await });
    }
    let mut errors: Vec<String> = calls
        .join_all()
        .await
        .into_iter()
        .filter_map(Result::err)
        .map(|status| format!("some fail, {:?}: {}", status.code(), status.message()))
        .collect();
    errors.sort_unstable();
    errors.dedup();
    Ok(errors)
}

fn entry(entry: &ContainerDevices) -> String {
    let nodes = entry.topology.iter().flat_map(|topology| &topology.nodes);
    let mut text = entry.device_ids.join("+");
    for node in nodes {
        text.push('@');
        text.push_str(&node.id.to_string());
    }
    text
}

fn named(devices: &ContainerDevices) -> String {
    format!("{} {}", devices.resource_name, entry(devices))
}

/// Entries in one order, on one line.
fn line(entries: impl Iterator<Item = String>) -> String {
    let mut entries: Vec<_> = entries.collect();
    if entries.is_empty() {
        return "none".to_owned();
    }
    entries.sort_unstable();
    entries.join(", ")
}
