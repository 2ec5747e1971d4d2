//! From a set of devices that is published to the list that a kubelet has read: compared, encoded, sent
//! over a unix socket, decoded.
#![expect(clippy::unwrap_used, reason = "a bench says what it needs")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use device_plugin::{
    AllocateError, ContainerEdits, Device, DeviceId, DevicePlugin, DeviceSet, Health, KubeletDir,
    Supervisor,
};
use kubelet_api::deviceplugin::v1beta1::{
    Empty, ListAndWatchResponse, device_plugin_client::DevicePluginClient,
};
use node_sim::Kubelet;
use tempfile::tempdir;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tonic::Streaming;
use tonic::transport::Endpoint;

const RESOURCE: &str = "example.com/port";
const SIZES: [u32; 3] = [128, 4096, 10_000];

struct Ports(watch::Sender<Arc<DeviceSet>>);

#[async_trait]
impl DevicePlugin for Ports {
    fn devices(&self) -> watch::Receiver<Arc<DeviceSet>> {
        self.0.subscribe()
    }

    async fn allocate(&self, _ids: &[DeviceId]) -> Result<ContainerEdits, AllocateError> {
        Ok(ContainerEdits::default())
    }
}

/// Devices with addresses as IDs and a NUMA node. The first is sick or not.
fn set(size: u32, sick: bool) -> Arc<DeviceSet> {
    let devices = (0..size).map(|number| Device {
        id: format!("0000:{:02x}:{:02x}.0", number / 256, number % 256)
            .parse()
            .unwrap(),
        health: if sick && number == 0 {
            Health::Unhealthy
        } else {
            Health::Healthy
        },
        numa_nodes: vec![number % 2],
    });
    Arc::new(DeviceSet::new(devices).unwrap())
}

/// Listens as a kubelet does, and has read the first list.
async fn listen(dir: &KubeletDir) -> Streaming<ListAndWatchResponse> {
    let socket = dir.plugin_socket(&RESOURCE.parse().unwrap());
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
    let mut client = DevicePluginClient::new(endpoint.connect().await.unwrap());
    let mut lists = client.list_and_watch(Empty {}).await.unwrap().into_inner();
    lists.message().await.unwrap().unwrap();
    lists
}

fn lists(c: &mut Criterion) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut group = c.benchmark_group("list");
    for size in SIZES {
        let dir = tempdir().unwrap();
        let sets = [set(size, false), set(size, true)];
        let devices = watch::Sender::new(Arc::clone(&sets[0]));
        let ports = Ports(devices.clone());
        let kubelet_dir = KubeletDir::new(dir.path());
        let (_kubelet, _supervisor, mut lists) = runtime.block_on(async {
            let kubelet = Kubelet::start(dir.path()).await.unwrap();
            let mut supervisor = Supervisor::new(kubelet_dir.clone());
            let plugin = Arc::new(ports);
            supervisor.offer(RESOURCE.parse().unwrap(), plugin).unwrap();
            let all = |view: &node_sim::ResourceView| view.streaming;
            let deadline = Duration::from_secs(20);
            kubelet.wait_for(RESOURCE, all, deadline).await.unwrap();
            (kubelet, supervisor, listen(&kubelet_dir).await)
        });
        let mut turn = 0;
        group.throughput(Throughput::Elements(u64::from(size)));
        group.bench_function(BenchmarkId::new("published to read", size), |b| {
            b.iter_custom(|times| {
                runtime.block_on(async {
                    let begun = Instant::now();
                    for _ in 0..times {
                        turn += 1;
                        devices.send_replace(Arc::clone(&sets[turn % 2]));
                        lists.message().await.unwrap().unwrap();
                    }
                    begun.elapsed()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lists);
criterion_main!(benches);
