//! The device plugin that one writes on a first afternoon.
//!
//! It keeps the protocol, and it even looks after its socket. Its mistake: it registers again
//! while its old stream is open, and takes a stream that was opened for one that stays.

use kubelet_api::deviceplugin::v1beta1::{
    AllocateRequest, AllocateResponse, Device, DevicePluginOptions, Empty, HEALTHY,
    ListAndWatchResponse, PreStartContainerRequest, PreStartContainerResponse,
    PreferredAllocationRequest, PreferredAllocationResponse, RegisterRequest, VERSION,
    device_plugin_server::{DevicePlugin, DevicePluginServer},
    registration_client::RegistrationClient,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::UnixListener, sync::watch, task::JoinSet, time::interval};
use tokio_stream::{
    StreamExt,
    wrappers::{UnixListenerStream, WatchStream},
};
use tokio_util::task::AbortOnDropHandle;
use tonic::{
    Request, Response, Status,
    codegen::BoxStream,
    transport::{Endpoint, Server},
};

/// How often it looks after its socket.
const LOOK: Duration = Duration::from_millis(10);

/// The plugin, until it is dropped.
pub(crate) struct Naive {
    socket: PathBuf,
    task: AbortOnDropHandle<()>,
}

impl Naive {
    pub(crate) fn start(dir: &Path, resource: &'static str, ids: &'static [&'static str]) -> Self {
        let socket = dir.join("naive.sock");
        let task = tokio::spawn(live(dir.to_owned(), socket.clone(), resource, ids));
        Self {
            socket,
            task: AbortOnDropHandle::new(task),
        }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether it still runs, with a socket.
    pub(crate) fn serves(&self) -> bool {
        !self.task.is_finished() && self.socket.exists()
    }
}

async fn live(dir: PathBuf, socket: PathBuf, resource: &str, ids: &'static [&'static str]) {
    let mut looks = interval(LOOK);
    let mut servers = JoinSet::new();
    let mut old = None;
    loop {
        let listener = UnixListener::bind(&socket).unwrap();
        let (lists, receiver) = watch::channel(list(ids));
        servers.spawn(Server::builder().serve_with_incoming(
            DevicePluginServer::new(Service { lists: receiver }),
            UnixListenerStream::new(listener),
        ));
        register(&dir, &socket, resource).await;
        // The new server is registered. Now the streams of the old one may end: too late.
        drop(old.replace(lists));
        while socket.exists() {
            looks.tick().await;
        }
    }
}

async fn register(dir: &Path, socket: &Path, resource: &str) {
    let kubelet = format!("unix://{}", dir.join("kubelet.sock").display());
    let channel = Endpoint::from_shared(kubelet).unwrap().connect().await;
    let request = RegisterRequest {
        version: VERSION.to_owned(),
        endpoint: socket.file_name().unwrap().to_str().unwrap().to_owned(),
        resource_name: resource.to_owned(),
        options: None,
    };
    RegistrationClient::new(channel.unwrap())
        .register(request)
        .await
        .unwrap();
}

fn list(ids: &[&str]) -> ListAndWatchResponse {
    let device = |id: &&str| Device {
        id: (*id).to_owned(),
        health: HEALTHY.to_owned(),
        topology: None,
    };
    let devices = ids.iter().map(device).collect();
    ListAndWatchResponse { devices }
}

/// Its streams end with the sender of the lists.
struct Service {
    lists: watch::Receiver<ListAndWatchResponse>,
}

#[tonic::async_trait]
impl DevicePlugin for Service {
    type ListAndWatchStream = BoxStream<ListAndWatchResponse>;

    async fn get_device_plugin_options(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<DevicePluginOptions>, Status> {
        Ok(Response::new(DevicePluginOptions::default()))
    }

    async fn list_and_watch(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListAndWatchStream>, Status> {
        let lists = WatchStream::new(self.lists.clone()).map(Ok);
        Ok(Response::new(Box::pin(lists)))
    }

    async fn allocate(
        &self,
        _: Request<AllocateRequest>,
    ) -> Result<Response<AllocateResponse>, Status> {
        Err(Status::unimplemented("no pod asks here"))
    }

    async fn get_preferred_allocation(
        &self,
        _: Request<PreferredAllocationRequest>,
    ) -> Result<Response<PreferredAllocationResponse>, Status> {
        Err(Status::unimplemented("not offered"))
    }

    async fn pre_start_container(
        &self,
        _: Request<PreStartContainerRequest>,
    ) -> Result<Response<PreStartContainerResponse>, Status> {
        Err(Status::unimplemented("not offered"))
    }
}
