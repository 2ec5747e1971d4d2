//! A tiny device plugin whose every answer a test can set.

use std::{
    convert::Infallible,
    future::pending,
    mem,
    path::Path,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use kubelet_api::deviceplugin::v1beta1::{
    AllocateRequest, AllocateResponse, ContainerAllocateResponse,
    ContainerPreferredAllocationRequest, ContainerPreferredAllocationResponse, Device,
    DevicePluginOptions, Empty, HEALTHY, ListAndWatchResponse, NumaNode, PreStartContainerRequest,
    PreStartContainerResponse, PreferredAllocationRequest, PreferredAllocationResponse,
    RegisterRequest, TopologyInfo, UNHEALTHY, VERSION,
    device_plugin_server::{DevicePlugin, DevicePluginServer},
    registration_client::RegistrationClient,
};
use tokio::{net::UnixListener, sync::watch, task::JoinHandle};
use tokio_stream::{
    StreamExt,
    wrappers::{UnixListenerStream, WatchStream},
};
use tonic::{
    Request, Response, Status,
    codegen::{BoxStream, Service, http},
    transport::{Endpoint, Server},
};

use super::tap::Tap;

type Allocate = dyn Fn(&[String]) -> Result<AllocateResponse, Status> + Send + Sync;
/// `None`: no answer, ever.
type PreStart = dyn Fn() -> Option<Result<(), Status>> + Send + Sync;
type Prefer =
    dyn Fn(ContainerPreferredAllocationRequest) -> Result<Vec<String>, Status> + Send + Sync;

/// What the plugin answers.
pub(super) struct Answers {
    pub(super) options: Result<DevicePluginOptions, Status>,
    pub(super) allocate: Box<Allocate>,
    /// `Allocate` is answered when this becomes true.
    pub(super) gate: watch::Receiver<bool>,
    pub(super) prefer: Box<Prefer>,
    pub(super) pre_start: Box<PreStart>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            options: Ok(DevicePluginOptions::default()),
            gate: watch::channel(true).1,
            allocate: Box::new(|ids| Ok(answer_with([("IDS", ids.join(","))]))),
            prefer: Box::new(|_| Err(Status::unimplemented("not offered"))),
            pre_start: Box::new(|| Some(Ok(()))),
        }
    }
}

pub(super) fn answer_with<const N: usize>(envs: [(&str, String); N]) -> AllocateResponse {
    let envs = envs.map(|(name, value)| (name.to_owned(), value));
    AllocateResponse {
        container_responses: vec![ContainerAllocateResponse {
            envs: envs.into(),
            ..Default::default()
        }],
    }
}

/// The running plugin. Its server ends when it is dropped.
pub(super) struct Plugin {
    lists: watch::Sender<Vec<Device>>,
    pub(super) calls: Arc<Calls>,
    server: JoinHandle<()>,
}

/// What the plugin was asked.
#[derive(Default)]
pub(super) struct Calls {
    pub(super) authorities: Mutex<Vec<String>>,
    pub(super) allocated: Mutex<Vec<AllocateRequest>>,
    pub(super) preferred: Mutex<Vec<PreferredAllocationRequest>>,
    pub(super) pre_started: Mutex<Vec<Vec<String>>>,
    pub(super) starts: watch::Sender<usize>,
    pub(super) streams: watch::Sender<usize>,
    /// Connections that the kubelet has not closed.
    pub(super) connections: watch::Sender<usize>,
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Plugin {
    pub(super) fn serve(dir: &Path, socket: &str, devices: Vec<Device>, answers: Answers) -> Self {
        let listener = UnixListener::bind(dir.join(socket)).unwrap();
        let (lists, receiver) = watch::channel(devices);
        let calls = Arc::new(Calls::default());
        let service = Spy {
            calls: Arc::clone(&calls),
            inner: DevicePluginServer::new(Handler {
                answers,
                lists: receiver,
                calls: Arc::clone(&calls),
            }),
        };
        let spy = Arc::clone(&calls);
        let server = tokio::spawn(async move {
            let incoming = UnixListenerStream::new(listener)
                .map(|stream| stream.map(|stream| Tap::new(stream, Arc::clone(&spy))));
            Server::builder()
                .serve_with_incoming(service, incoming)
                .await
                .unwrap();
        });
        Self {
            lists,
            calls,
            server,
        }
    }

    pub(super) fn send(&self, devices: Vec<Device>) {
        self.lists.send_replace(devices);
    }

    /// Waits until this many streams are open.
    pub(super) async fn streams(&self, count: usize) {
        let mut streams = self.calls.streams.subscribe();
        streams.wait_for(|open| *open == count).await.unwrap();
    }

    /// Waits until the kubelet holds this many connections.
    pub(super) async fn connections(&self, count: usize) {
        let mut connections = self.calls.connections.subscribe();
        connections.wait_for(|open| *open == count).await.unwrap();
    }

    /// Ends all streams in good order, as a plugin does at its end.
    pub(super) fn end(mut self) {
        mem::take(&mut self.lists);
    }
}

pub(super) async fn register(dir: &Path, endpoint: &str, resource: &str) -> Result<(), Status> {
    send_register(dir, request(endpoint, resource)).await
}

pub(super) fn request(endpoint: &str, resource: &str) -> RegisterRequest {
    RegisterRequest {
        version: VERSION.to_owned(),
        endpoint: endpoint.to_owned(),
        resource_name: resource.to_owned(),
        options: None,
    }
}

pub(super) async fn send_register(dir: &Path, request: RegisterRequest) -> Result<(), Status> {
    let uri = format!("unix:{}", dir.join("kubelet.sock").display());
    let channel = Endpoint::from_shared(uri).unwrap().connect().await.unwrap();
    RegistrationClient::new(channel)
        .register(request)
        .await
        .map(drop)
}

pub(super) fn healthy(id: &str) -> Device {
    Device {
        id: id.to_owned(),
        health: HEALTHY.to_owned(),
        topology: None,
    }
}

pub(super) fn sick(id: &str) -> Device {
    Device {
        health: UNHEALTHY.to_owned(),
        ..healthy(id)
    }
}

pub(super) fn on_node(id: &str, node: i64) -> Device {
    Device {
        topology: Some(TopologyInfo {
            nodes: vec![NumaNode { id: node }],
        }),
        ..healthy(id)
    }
}

struct Handler {
    answers: Answers,
    lists: watch::Receiver<Vec<Device>>,
    calls: Arc<Calls>,
}

/// Counts open streams.
struct Open(Arc<Calls>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.streams.send_modify(|open| *open -= 1);
    }
}

#[tonic::async_trait]
impl DevicePlugin for Handler {
    type ListAndWatchStream = BoxStream<ListAndWatchResponse>;

    async fn get_device_plugin_options(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<DevicePluginOptions>, Status> {
        self.answers.options.clone().map(Response::new)
    }

    async fn list_and_watch(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListAndWatchStream>, Status> {
        self.calls.streams.send_modify(|open| *open += 1);
        let open = Open(Arc::clone(&self.calls));
        let lists = WatchStream::new(self.lists.clone()).map(move |devices| {
            let _open = &open;
            Ok(ListAndWatchResponse { devices })
        });
        Ok(Response::new(Box::pin(lists)))
    }

    async fn get_preferred_allocation(
        &self,
        request: Request<PreferredAllocationRequest>,
    ) -> Result<Response<PreferredAllocationResponse>, Status> {
        let request = request.into_inner();
        self.calls.preferred.lock().unwrap().push(request.clone());
        let containers = request.container_requests.into_iter();
        let answers = containers.map(|container| {
            let device_i_ds = (self.answers.prefer)(container)?;
            Ok(ContainerPreferredAllocationResponse { device_i_ds })
        });
        let container_responses = answers.collect::<Result<_, Status>>()?;
        Ok(Response::new(PreferredAllocationResponse {
            container_responses,
        }))
    }

    async fn allocate(
        &self,
        request: Request<AllocateRequest>,
    ) -> Result<Response<AllocateResponse>, Status> {
        let request = request.into_inner();
        self.calls.allocated.lock().unwrap().push(request.clone());
        let mut gate = self.answers.gate.clone();
        gate.wait_for(|open| *open).await.unwrap();
        (self.answers.allocate)(&request.container_requests[0].devices_ids).map(Response::new)
    }

    async fn pre_start_container(
        &self,
        request: Request<PreStartContainerRequest>,
    ) -> Result<Response<PreStartContainerResponse>, Status> {
        let ids = request.into_inner().devices_ids;
        self.calls.pre_started.lock().unwrap().push(ids);
        self.calls.starts.send_modify(|starts| *starts += 1);
        match (self.answers.pre_start)() {
            Some(answer) => answer.map(|()| Response::new(PreStartContainerResponse {})),
            None => pending().await,
        }
    }
}

/// Notes the authority of every request.
#[derive(Clone)]
struct Spy<S> {
    calls: Arc<Calls>,
    inner: S,
}

impl<S, B> Service<http::Request<B>> for Spy<S>
where
    S: Service<http::Request<B>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let authority = request.uri().authority().map(ToString::to_string);
        self.calls.authorities.lock().unwrap().extend(authority);
        self.inner.call(request)
    }
}
