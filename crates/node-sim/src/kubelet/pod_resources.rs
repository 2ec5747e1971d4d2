//! The other socket of the kubelet: which pod holds what.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use kubelet_api::podresources::v1::{
    AllocatableResourcesRequest, AllocatableResourcesResponse, ContainerDevices,
    ContainerResources, GetPodResourcesRequest, GetPodResourcesResponse, ListPodResourcesRequest,
    ListPodResourcesResponse, NumaNode, PodResources as PodMessage, TopologyInfo,
    pod_resources_lister_server::PodResourcesLister,
};
use tokio::select;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{
    checkpoint::CheckpointEntry,
    ledger::Record,
    options::{Fault, PodResources},
    shared::Shared,
    state::State,
    transcript::EventKind,
};

/// The service on the socket in the directory `pod-resources`.
#[derive(Debug)]
pub(super) struct Lister {
    shared: Arc<Shared>,
    token: CancellationToken,
    bucket: Mutex<Bucket>,
}

impl Lister {
    pub(super) fn new(shared: Arc<Shared>, token: CancellationToken) -> Self {
        let bucket = Mutex::new(Bucket::new(Instant::now()));
        Self {
            shared,
            token,
            bucket,
        }
    }

    fn version(&self) -> PodResources {
        self.shared.options.pod_resources
    }

    /// Does what a call does, and records it.
    async fn call<T>(
        &self,
        method: &'static str,
        since: PodResources,
        answer: impl FnOnce(&mut State) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let result = select! {
            biased;
            () = self.token.cancelled() => Err(Status::unavailable("the kubelet is gone")),
            result = self.answer(method, since, answer) => result,
        };
        self.shared.with(|state| {
            let error = result.as_ref().err().map(|s| format!("{:?}", s.code()));
            state.record(EventKind::PodResources { method, error });
        });
        result.map(Response::new)
    }

    async fn answer<T>(
        &self,
        method: &str,
        since: PodResources,
        answer: impl FnOnce(&mut State) -> Result<T, Status>,
    ) -> Result<T, Status> {
        if self.version() < since {
            // What gRPC for Go says about a method that it does not know.
            let text = format!("unknown method {method} for service v1.PodResourcesLister");
            return Err(Status::unimplemented(text));
        }
        if !self.is_in_rate() {
            return Err(Status::resource_exhausted("rejected by rate limit"));
        }
        let hang = |fault: &Fault| (*fault == Fault::HangPodResources).then_some(());
        if self.strikes(hang).is_some() {
            return pending().await;
        }
        let refuse = |fault: &Fault| match fault {
            Fault::RefusePodResources { message } => Some(message.clone()),
            _ => None,
        };
        if let Some(message) = self.strikes(refuse) {
            return Err(Status::unknown(message));
        }
        self.shared.with(answer)
    }

    fn strikes<T>(&self, fits: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.shared.with(|state| state.fault("pod-resources", fits))
    }

    fn is_in_rate(&self) -> bool {
        let limited = self.version() >= PodResources::V1_27;
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        !limited || bucket.take(Instant::now())
    }

    fn message(&self, state: &mut State, pod: &Record) -> PodMessage {
        let mut devices = Vec::new();
        for entry in state.pods.holdings(pod) {
            match self.version() {
                PodResources::V1_20 => devices.extend(by_node(entry)),
                _ => devices.extend(by_device(entry)),
            }
        }
        // The order is that of a map in Go.
        state.random.shuffle(&mut devices);
        let container = ContainerResources {
            name: pod.container.clone(),
            devices,
            ..ContainerResources::default()
        };
        PodMessage {
            name: pod.name.clone(),
            namespace: pod.namespace.clone(),
            containers: vec![container],
            ..PodMessage::default()
        }
    }
}

#[tonic::async_trait]
impl PodResourcesLister for Lister {
    async fn list(
        &self,
        _: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        self.call("List", PodResources::V1_20, |state| {
            let all = self.version() < PodResources::V1_34;
            let pods = state.pods.records().filter(|pod| all || !pod.completed);
            let pods: Vec<_> = pods.cloned().collect();
            let pods = pods.iter().map(|pod| self.message(state, pod));
            Ok(ListPodResourcesResponse {
                pod_resources: pods.collect(),
            })
        })
        .await
    }

    async fn get_allocatable_resources(
        &self,
        _: Request<AllocatableResourcesRequest>,
    ) -> Result<Response<AllocatableResourcesResponse>, Status> {
        self.call("GetAllocatableResources", PodResources::V1_23, |state| {
            let resources = state.resources.iter();
            let mut devices: Vec<_> = resources
                .flat_map(|(name, resource)| {
                    let devices = resource.healthy();
                    devices.flat_map(|device| one(name, &device.id, &device.numa))
                })
                .collect();
            state.random.shuffle(&mut devices);
            Ok(AllocatableResourcesResponse {
                devices,
                ..AllocatableResourcesResponse::default()
            })
        })
        .await
    }

    async fn get(
        &self,
        request: Request<GetPodResourcesRequest>,
    ) -> Result<Response<GetPodResourcesResponse>, Status> {
        let GetPodResourcesRequest {
            pod_name: name,
            pod_namespace: space,
        } = request.into_inner();
        self.call("Get", PodResources::V1_27, |state| {
            if self.version() < PodResources::V1_34 {
                let text = "PodResources API Get method disabled";
                return Err(Status::unknown(text));
            }
            let pod = state
                .pods
                .records()
                .find(|pod| pod.name == name && pod.namespace == space)
                .cloned();
            let Some(pod) = pod else {
                let text = format!("pod {name} in namespace {space} not found");
                return Err(Status::unknown(text));
            };
            let pod_resources = Some(self.message(state, &pod));
            Ok(GetPodResourcesResponse { pod_resources })
        })
        .await
    }
}

/// One message for each NUMA node, as up to 1.20.
fn by_node(entry: &CheckpointEntry) -> Vec<ContainerDevices> {
    let devices = entry.devices.iter();
    devices
        .map(|(&node, ids)| ContainerDevices {
            resource_name: entry.resource.clone(),
            device_ids: ids.clone(),
            topology: topology(node),
        })
        .collect()
}

/// One message for each device and NUMA node, as later.
fn by_device(entry: &CheckpointEntry) -> Vec<ContainerDevices> {
    let devices = entry.devices.iter();
    devices
        .flat_map(|(&node, ids)| {
            ids.iter().map(move |id| ContainerDevices {
                resource_name: entry.resource.clone(),
                device_ids: vec![id.clone()],
                topology: topology(node),
            })
        })
        .collect()
}

/// The messages of a device of the list.
fn one(resource: &str, id: &str, nodes: &[i64]) -> Vec<ContainerDevices> {
    let entry = |topology| ContainerDevices {
        resource_name: resource.to_owned(),
        device_ids: vec![id.to_owned()],
        topology,
    };
    if nodes.is_empty() {
        return vec![entry(None)];
    }
    // A negative node is passed on like any other.
    let nodes = nodes.iter().map(|&id| TopologyInfo {
        nodes: vec![NumaNode { id }],
    });
    nodes.map(|topology| entry(Some(topology))).collect()
}

fn topology(node: i64) -> Option<TopologyInfo> {
    (node >= 0).then(|| TopologyInfo {
        nodes: vec![NumaNode { id: node }],
    })
}

/// The kubelet's limit: 100 calls a second, 10 at once.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    looked: Instant,
}

impl Bucket {
    const RATE: f64 = 100.0;
    const BURST: f64 = 10.0;

    fn new(now: Instant) -> Self {
        Self {
            tokens: Self::BURST,
            looked: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.duration_since(self.looked).as_secs_f64();
        self.tokens = (self.tokens + passed * Self::RATE).min(Self::BURST);
        self.looked = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Bucket;

    #[test]
    fn ten_calls_at_once_and_then_one_each_ten_milliseconds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let taken = (0..20).filter(|_| bucket.take(start)).count();
        assert_eq!(taken, 10);
        assert!(!bucket.take(start + Duration::from_millis(9)));
        assert!(bucket.take(start + Duration::from_millis(20)));
        let rested = start + Duration::from_mins(1);
        assert_eq!((0..20).filter(|_| bucket.take(rested)).count(), 10);
    }
}
