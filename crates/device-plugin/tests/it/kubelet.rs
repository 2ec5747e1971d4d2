//! A small kubelet: it dials back inside Register, then listens to the list of devices.

use kubelet_api::deviceplugin::v1beta1::{
    DevicePluginOptions, Empty, RegisterRequest,
    device_plugin_client::DevicePluginClient,
    registration_server::{Registration, RegistrationServer},
};
use std::{
    collections::VecDeque,
    fs,
    mem::take,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::UnixListener,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint, Server},
};

/// No step of a test takes longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// What the kubelet has seen, in order.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Event {
    /// Register was called: the resource.
    Register(String),
    /// The plugin's answer to the dial-back.
    Options(DevicePluginOptions),
    /// A list came, on the nth stream: `id` for healthy, `!id` for unhealthy devices.
    List(u32, Vec<String>),
    /// The nth stream has ended.
    StreamEnded(u32),
}

pub(crate) struct Kubelet {
    dir: PathBuf,
    shared: Arc<Shared>,
    events: mpsc::UnboundedReceiver<Event>,
    server: JoinSet<()>,
}

struct Shared {
    dir: PathBuf,
    events: mpsc::UnboundedSender<Event>,
    refusals: Mutex<VecDeque<Status>>,
    streams: Mutex<JoinSet<()>>,
    last_stream: Mutex<Option<AbortHandle>>,
    count: AtomicU32,
}

struct Handler(Arc<Shared>);

impl Kubelet {
    /// Starts a kubelet. As the real one, it first removes all sockets in its directory.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_refusing(dir, [])
    }

    /// Starts a kubelet that refuses the first registrations.
    pub(crate) fn start_refusing(dir: &Path, refusals: impl IntoIterator<Item = Status>) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            events: sender,
            refusals: Mutex::new(refusals.into_iter().collect()),
            streams: Mutex::default(),
            last_stream: Mutex::default(),
            count: AtomicU32::new(0),
        });
        let mut kubelet = Self {
            dir: dir.to_owned(),
            shared,
            events,
            server: JoinSet::new(),
        };
        kubelet.serve();
        kubelet
    }

    fn serve(&mut self) {
        wipe(&self.dir);
        let listener = UnixListener::bind(self.dir.join("kubelet.sock")).unwrap();
        let service = RegistrationServer::new(Handler(Arc::clone(&self.shared)));
        self.server.spawn(async move {
            let incoming = UnixListenerStream::new(listener);
            Server::builder()
                .serve_with_incoming(service, incoming)
                .await
                .unwrap();
        });
    }

    /// Dies, as of `kill -9`: streams break, and the socket stays where it is.
    pub(crate) async fn die(&mut self) {
        self.server.shutdown().await;
        let mut streams = take(&mut *self.shared.streams.lock().unwrap());
        streams.shutdown().await;
        while self.events.try_recv().is_ok() {}
    }

    /// Comes back.
    pub(crate) fn revive(&mut self) {
        self.serve();
    }

    /// Hangs up on the newest stream, and on nothing else.
    pub(crate) fn cut_stream(&self) {
        let stream = self.shared.last_stream.lock().unwrap().take();
        stream.expect("there was a stream").abort();
    }

    /// Returns the next event.
    pub(crate) async fn next(&mut self) -> Event {
        let event = timeout(DEADLINE, self.events.recv()).await;
        event.expect("an event before the deadline").unwrap()
    }

    /// Returns the next list, and skips what comes before it.
    pub(crate) async fn list(&mut self) -> Vec<String> {
        loop {
            if let Event::List(_, ids) = self.next().await {
                return ids;
            }
        }
    }

    /// Whether nothing has happened that was not asked for yet.
    pub(crate) fn is_quiet(&self) -> bool {
        self.events.is_empty()
    }
}

/// A client of the plugin on a socket.
pub(crate) async fn dial(socket: &Path) -> DevicePluginClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
    let channel = timeout(DEADLINE, endpoint.connect())
        .await
        .unwrap()
        .unwrap();
    DevicePluginClient::new(channel)
}

fn wipe(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_socket() {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[tonic::async_trait]
impl Registration for Handler {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<Empty>, Status> {
        let Self(shared) = self;
        let request = request.into_inner();
        assert_eq!(request.version, "v1beta1");
        assert!(!request.endpoint.contains('/'), "a file name only");
        shared
            .events
            .send(Event::Register(request.resource_name))
            .unwrap();
        let refusal = shared.refusals.lock().unwrap().pop_front();
        if let Some(status) = refusal {
            return Err(status);
        }
        let mut client = dial(&shared.dir.join(&request.endpoint)).await;
        let options = client
            .get_device_plugin_options(Empty {})
            .await?
            .into_inner();
        shared.events.send(Event::Options(options)).unwrap();

        let (events, count) = (shared.events.clone(), &shared.count);
        let stream = count.fetch_add(1, Ordering::Relaxed) + 1;
        let listening = listen(stream, client, events);
        let handle = shared.streams.lock().unwrap().spawn(listening);
        *shared.last_stream.lock().unwrap() = Some(handle);
        Ok(Response::new(Empty {}))
    }
}

async fn listen(
    stream: u32,
    mut client: DevicePluginClient<Channel>,
    events: mpsc::UnboundedSender<Event>,
) {
    let Ok(lists) = client.list_and_watch(Empty {}).await else {
        return;
    };
    let mut lists = lists.into_inner();
    while let Ok(Some(list)) = lists.message().await {
        let ids = list
            .devices
            .into_iter()
            .map(|device| match &*device.health {
                "Healthy" => device.id,
                "Unhealthy" => format!("!{}", device.id),
                health => panic!("health `{health}`"),
            });
        let ids = ids.collect();
        if events.send(Event::List(stream, ids)).is_err() {
            return;
        }
    }
    // Nobody listens any more when the test is over.
    let _over = events.send(Event::StreamEnded(stream));
}
