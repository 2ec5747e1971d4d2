//! A plugin without a framework: it serves, answers as the script says, and reports each call.

use std::{
    fs,
    future::pending,
    io, iter, mem,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kubelet_api::deviceplugin::v1beta1::{
    AllocateRequest, AllocateResponse, ContainerAllocateResponse,
    ContainerPreferredAllocationResponse, DevicePluginOptions, Empty, ListAndWatchResponse,
    PreStartContainerRequest, PreStartContainerResponse, PreferredAllocationRequest,
    PreferredAllocationResponse,
    device_plugin_server::{DevicePlugin, DevicePluginServer},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::mpsc,
    task::JoinHandle,
    time::sleep,
};
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream, wrappers::UnixListenerStream};
use tonic::{Request, Response, Status, codegen::BoxStream, transport::Server};

use super::{
    connection::{Connection, Handle, Number},
    head::{Head, Headed},
    script::{Answer, Method, Socket},
};

/// More than gRPC for Go receives: 4 MiB.
pub(super) const HUGE: usize = 5 << 20;

/// What the kubelet did.
#[derive(Debug)]
pub(super) enum Event {
    Opened(Socket, u64),
    Closed(Socket, u64),
    Call(Call),
}

/// A call to the plugin.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) socket: Socket,
    pub(super) connection: u64,
    pub(super) method: Method,
    /// Each list of IDs in the request, with a word that says what it is.
    pub(super) lists: Vec<(&'static str, Vec<String>)>,
    pub(super) head: Head,
}

/// Where the events of one socket go.
#[derive(Clone, Debug)]
pub(super) struct Log {
    socket: Socket,
    events: mpsc::UnboundedSender<Event>,
}

impl Log {
    pub(super) fn push(&self, event: impl FnOnce(Socket) -> Event) {
        // The receiver is gone once the recording is over.
        drop(self.events.send(event(self.socket)));
    }
}

type Update = Result<ListAndWatchResponse, Status>;

/// One socket and its connections. They end when it is dropped.
#[derive(Debug)]
pub(super) struct Plugin {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    log: Log,
    state: Mutex<State>,
}

#[derive(Default, Debug)]
struct State {
    answers: Vec<(Method, Answer)>,
    /// One for each `ListAndWatch`. `None`: ended by the plugin.
    streams: Vec<Option<mpsc::UnboundedSender<Update>>>,
    handles: Vec<Handle>,
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.server.abort();
        self.shared.break_connections();
    }
}

impl Plugin {
    /// Listens on `socket` in `dir`. `serves`: and answers.
    pub(super) fn new(
        dir: &Path,
        socket: Socket,
        events: mpsc::UnboundedSender<Event>,
        answering: bool,
    ) -> io::Result<Self> {
        let path = dir.join(socket);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let listener = UnixListener::bind(path)?;
        let shared = Arc::new(Shared {
            log: Log { socket, events },
            state: Mutex::default(),
        });
        let server = if answering {
            let (service, connections) = (Arc::clone(&shared), Arc::clone(&shared));
            let incoming =
                UnixListenerStream::new(listener).map(move |stream| connections.accept(stream?));
            let service = Headed(DevicePluginServer::from_arc(service));
            let serving = Server::builder().serve_with_incoming(service, incoming);
            tokio::spawn(async move { drop(serving.await) })
        } else {
            tokio::spawn(async move {
                let _listener = listener;
                pending::<()>().await;
            })
        };
        Ok(Self { shared, server })
    }

    pub(super) fn prepare(&self, method: Method, answer: Answer) {
        let mut state = self.shared.state();
        // What is sticky ends here.
        state.answers.retain(|(of, _)| *of != method);
        state.answers.push((method, answer));
    }

    /// Sends a list on the latest stream. Returns whether there is one.
    pub(super) fn list(&self, list: ListAndWatchResponse) -> bool {
        let state = self.shared.state();
        let stream = state.streams.last().and_then(Option::as_ref);
        stream.is_some_and(|stream| stream.send(Ok(list)).is_ok())
    }

    /// Ends a stream, counted from 1. Returns whether it was open.
    pub(super) fn end_stream(&self, number: usize, error: Option<&str>) -> bool {
        let mut state = self.shared.state();
        let stream = state.streams.get_mut(number - 1).and_then(Option::take);
        let error = error.map(Status::failed_precondition);
        stream.is_some_and(|stream| error.is_none_or(|error| stream.send(Err(error)).is_ok()))
    }

    pub(super) fn break_connections(&self) {
        self.shared.break_connections();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, stream: UnixStream) -> io::Result<Connection> {
        let mut state = self.state();
        let number = state.handles.len() as u64 + 1;
        let (connection, handle) = Connection::new(stream, number, self.log.clone())?;
        state.handles.push(handle);
        self.log.push(|socket| Event::Opened(socket, number));
        Ok(connection)
    }

    fn break_connections(&self) {
        self.state().handles.iter().for_each(Handle::shut_down);
    }

    /// Reports a call, and does what the script has prepared for it.
    async fn call<T>(
        &self,
        request: &Request<T>,
        method: Method,
        lists: Vec<(&'static str, Vec<String>)>,
    ) -> Result<Option<Answer>, Status> {
        let extensions = request.extensions();
        let connection = extensions.get::<Number>().map_or(0, |number| number.0);
        let head = extensions.get::<Head>().cloned().unwrap_or_default();
        let answer = {
            let mut state = self.state();
            let prepared = state.answers.iter().position(|(of, _)| *of == method);
            match prepared {
                Some(index) if matches!(state.answers[index].1, Answer::Errors(_)) => {
                    Some(state.answers[index].1)
                }
                Some(index) => Some(state.answers.remove(index).1),
                None => None,
            }
        };
        self.log.push(|socket| {
            Event::Call(Call {
                socket,
                connection,
                method,
                lists,
                head,
            })
        });
        match answer {
            Some(Answer::Error(text) | Answer::Errors(text)) => {
                return Err(Status::failed_precondition(text));
            }
            Some(Answer::Slow) => sleep(Duration::from_secs(3)).await,
            Some(Answer::Break) => {
                self.break_connections();
                return pending().await;
            }
            _ => {}
        }
        Ok(answer)
    }
}

#[tonic::async_trait]
impl DevicePlugin for Shared {
    type ListAndWatchStream = BoxStream<ListAndWatchResponse>;

    async fn get_device_plugin_options(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<DevicePluginOptions>, Status> {
        let method = Method::GetDevicePluginOptions;
        let answer = self.call(&request, method, Vec::new()).await?;
        let (preferred, pre_start) = match answer {
            Some(Answer::Options(preferred, pre_start)) => (preferred, pre_start),
            _ => (false, false),
        };
        Ok(Response::new(DevicePluginOptions {
            get_preferred_allocation_available: preferred,
            pre_start_required: pre_start,
        }))
    }

    async fn list_and_watch(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListAndWatchStream>, Status> {
        // The stream exists before its call is reported: the script may go on with a list.
        let (stream, updates) = mpsc::unbounded_channel();
        self.state().streams.push(Some(stream));
        self.call(&request, Method::ListAndWatch, Vec::new())
            .await?;
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(
            updates,
        ))))
    }

    async fn get_preferred_allocation(
        &self,
        request: Request<PreferredAllocationRequest>,
    ) -> Result<Response<PreferredAllocationResponse>, Status> {
        let mut lists = Vec::new();
        for container in &request.get_ref().container_requests {
            let size = container.allocation_size.to_string();
            lists.push(("size", vec![size]));
            lists.push(("available", container.available_device_i_ds.clone()));
            lists.push(("must include", container.must_include_device_i_ds.clone()));
        }
        let method = Method::GetPreferredAllocation;
        let answer = self.call(&request, method, lists).await?;
        let mut ids = match answer {
            Some(Answer::Prefer(ids)) => ids.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        let containers = match answer {
            Some(Answer::Empty) => 0,
            _ => request.get_ref().container_requests.len(),
        };
        let response = || ContainerPreferredAllocationResponse {
            device_i_ds: mem::take(&mut ids),
        };
        Ok(Response::new(PreferredAllocationResponse {
            container_responses: iter::repeat_with(response).take(containers).collect(),
        }))
    }

    async fn allocate(
        &self,
        request: Request<AllocateRequest>,
    ) -> Result<Response<AllocateResponse>, Status> {
        let containers = request.get_ref().container_requests.iter();
        let lists = containers
            .map(|container| ("container", container.devices_ids.clone()))
            .collect();
        let answer = self.call(&request, Method::Allocate, lists).await?;
        let response = |value: &str| ContainerAllocateResponse {
            envs: [("ANSWER".to_owned(), value.to_owned())].into(),
            ..ContainerAllocateResponse::default()
        };
        let responses = match answer {
            Some(Answer::Empty) => Vec::new(),
            Some(Answer::Two) => vec![response("first"), response("second")],
            Some(Answer::Huge) => vec![response(&"x".repeat(HUGE))],
            _ => vec![response("only")],
        };
        Ok(Response::new(AllocateResponse {
            container_responses: responses,
        }))
    }

    async fn pre_start_container(
        &self,
        request: Request<PreStartContainerRequest>,
    ) -> Result<Response<PreStartContainerResponse>, Status> {
        let lists = vec![("container", request.get_ref().devices_ids.clone())];
        self.call(&request, Method::PreStartContainer, lists)
            .await?;
        Ok(Response::new(PreStartContainerResponse {}))
    }
}
