//! Plays the script on a node, and records.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener as StdListener,
    },
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use kubelet_api::deviceplugin::v1beta1::{
    Device, DevicePluginOptions, KUBELET_SOCKET, ListAndWatchResponse, NumaNode, RegisterRequest,
    TopologyInfo, VERSION, registration_client::RegistrationClient,
};
use node_sim::Checkpoint;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};
use tonic::transport::Endpoint;

use super::{
    allocations,
    node::Node,
    plugin::{Call, Event, HUGE, Plugin},
    recording::{RecordedScenario, RecordedStep},
    script::{self, Method, Scenario, Socket, Step},
    timing::Class,
};

/// How long a call or the end of a connection is waited for.
const EVENT_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a kubelet may take to listen again.
const RESTART_TIMEOUT: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const QUIET: Duration = Duration::from_secs(1);

/// Plays one scenario.
pub(super) struct Player<'a, N> {
    node: &'a mut N,
    plugins: BTreeMap<Socket, Plugin>,
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    /// The heads of all calls, each once.
    heads: Vec<(Socket, Method, Vec<String>)>,
}

impl<'a, N: Node> Player<'a, N> {
    /// Plays `scenario` on `node`.
    pub(super) async fn play(node: &'a mut N, scenario: &Scenario) -> Result<RecordedScenario> {
        let (sender, events) = mpsc::unbounded_channel();
        let mut player = Self {
            node,
            plugins: BTreeMap::new(),
            events,
            sender,
            heads: Vec::new(),
        };
        let mut steps = Vec::new();
        for step in scenario.steps {
            let facts = player.step(step).await;
            let mut facts = facts.with_context(|| format!("{}: {step}", scenario.name))?;
            let suffix = player.node.suffix();
            if !suffix.is_empty() {
                for fact in &mut facts {
                    *fact = fact.replace(&suffix, "");
                }
            }
            let title = step.to_string();
            steps.push(RecordedStep { title, facts });
        }
        for socket in player.plugins.keys() {
            // A restart of the kubelet has removed some.
            drop(fs::remove_file(player.node.device_plugins().join(socket)));
        }
        let title = format!("{}: {}", scenario.name, scenario.about);
        Ok(RecordedScenario { title, steps })
    }

    async fn step(&mut self, step: &Step) -> Result<Vec<String>> {
        let dir = self.node.device_plugins().to_owned();
        match *step {
            Step::Serve(socket) => self.open(&dir, socket, true),
            Step::Listen(socket) => self.open(&dir, socket, false),
            Step::Answer(socket, method, answer) => {
                self.plugin(socket)?.prepare(method, answer);
                Ok(Vec::new())
            }
            Step::Register(resource, socket) => {
                register(&dir, VERSION, &self.unique(resource), socket, None).await
            }
            Step::RegisterWith(resource, socket, preferred, pre_start) => {
                let options = Some(DevicePluginOptions {
                    get_preferred_allocation_available: preferred,
                    pre_start_required: pre_start,
                });
                register(&dir, VERSION, &self.unique(resource), socket, options).await
            }
            Step::RegisterBad {
                version,
                resource,
                socket,
            } => register(&dir, version, resource, socket, None).await,
            Step::Call(socket, method) => {
                let is_it = |event: &Event| {
                    matches!(event, Event::Call(call)
                        if call.socket == socket && call.method == method)
                };
                Ok(self.until(is_it).await)
            }
            Step::Closed(socket, connection) => {
                let is_it = |event: &Event| {
                    matches!(*event, Event::Closed(of, number)
                        if of == socket && number == connection)
                };
                Ok(self.until(is_it).await)
            }
            Step::Quiet => Ok(self.quiet().await),
            Step::List(socket, devices) => self.list(socket, devices),
            Step::HugeList(socket) => self.list(socket, &[(&"x".repeat(HUGE), "Healthy", None)]),
            Step::EndStream(socket, stream, error) => {
                let ended = self.plugin(socket)?.end_stream(stream, error);
                ensure!(ended, "the stream is not open");
                Ok(Vec::new())
            }
            Step::Break(socket) => {
                self.plugin(socket)?.break_connections();
                Ok(Vec::new())
            }
            Step::Unlink(socket) => {
                fs::remove_file(dir.join(socket))?;
                Ok(Vec::new())
            }
            Step::Allocatable(resource, expected) => {
                let socket = self.node.pod_resources();
                allocations::allocatable(socket, &self.unique(resource), expected).await
            }
            Step::Pod {
                pod,
                requests,
                named,
            } => self.pod(pod, requests, named).await,
            Step::Started(pod) => {
                let outcome = self.node.started(pod).await?;
                let mut facts = self.drain(&[]);
                facts.dedup();
                facts.push(outcome.to_string());
                Ok(facts)
            }
            Step::Allocated(pod) => {
                let identity = self.node.identity(pod).await?;
                allocations::allocated(self.node.pod_resources(), &dir, identity).await
            }
            Step::Delete(pod) => {
                self.node.delete(pod).await?;
                Ok(self.drain(&[]))
            }
            Step::Burst => allocations::burst(self.node.pod_resources()).await,
            Step::Headers(socket) => Ok(self.headers(socket)),
            Step::Modes => modes(&dir, self.node.pod_resources()),
            Step::Restart => self.restart(&dir).await,
        }
    }

    fn list(&self, socket: Socket, devices: &[(&str, &str, Option<i64>)]) -> Result<Vec<String>> {
        let devices = devices.iter().map(device).collect();
        let list = ListAndWatchResponse { devices };
        ensure!(self.plugin(socket)?.list(list), "no stream is open");
        Ok(Vec::new())
    }

    async fn pod(
        &mut self,
        pod: &str,
        requests: &[(&str, usize)],
        named: &[&str],
    ) -> Result<Vec<String>> {
        let requests: Vec<_> = requests
            .iter()
            .map(|&(resource, count)| (self.unique(resource), count))
            .collect();
        let outcome = self.node.create(pod, &requests).await?;
        let mut facts = self.drain(named);
        // How often a failed start is tried is a matter of time.
        facts.dedup();
        if requests.len() > 1 {
            // Their order is random.
            facts.sort_unstable();
        }
        facts.push(outcome.to_string());
        Ok(facts)
    }

    /// The name of a resource in this recording.
    fn unique(&self, resource: &str) -> String {
        format!("{resource}{}", self.node.suffix())
    }

    fn open(&mut self, dir: &Path, socket: Socket, serves: bool) -> Result<Vec<String>> {
        // A recording that was killed leaves its sockets behind.
        drop(fs::remove_file(dir.join(socket)));
        let plugin = Plugin::new(dir, socket, self.sender.clone(), serves)?;
        self.plugins.insert(socket, plugin);
        Ok(Vec::new())
    }

    fn plugin(&self, socket: Socket) -> Result<&Plugin> {
        let plugin = self.plugins.get(socket);
        plugin.with_context(|| format!("{socket} is not served"))
    }

    /// Records events up to one, or says that it did not come.
    async fn until(&mut self, is_it: impl Fn(&Event) -> bool) -> Vec<String> {
        let start = Instant::now();
        let mut facts = Vec::new();
        while let Ok(Some(event)) = timeout_at(start + EVENT_TIMEOUT, self.events.recv()).await {
            let mut fact = self.record(&event, &[]);
            if is_it(&event) {
                fact = format!("{fact}, {}", Class::of(start.elapsed()));
                facts.push(fact);
                return facts;
            }
            facts.push(fact);
        }
        facts.push(format!(
            "it does not come within {} s",
            EVENT_TIMEOUT.as_secs()
        ));
        facts
    }

    async fn quiet(&mut self) -> Vec<String> {
        let end = Instant::now() + QUIET;
        let mut facts = Vec::new();
        while let Ok(Some(event)) = timeout_at(end, self.events.recv()).await {
            facts.push(self.record(&event, &[]));
        }
        if facts.is_empty() {
            facts.push("nothing".to_owned());
        }
        facts
    }

    /// Records what has come so far.
    fn drain(&mut self, named: &[&str]) -> Vec<String> {
        let mut facts = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            facts.push(self.record(&event, named));
        }
        facts
    }

    fn record(&mut self, event: &Event, named: &[&str]) -> String {
        match event {
            Event::Opened(socket, number) => format!("connection {number} to {socket} opens"),
            Event::Closed(socket, number) => format!("connection {number} to {socket} ends"),
            Event::Call(call) => {
                let head = (call.socket, call.method, call.head.lines.clone());
                if !self.heads.contains(&head) {
                    self.heads.push(head);
                }
                describe(call, named)
            }
        }
    }

    fn headers(&self, socket: Socket) -> Vec<String> {
        let mut heads: Vec<_> = self.heads.iter().filter(|head| head.0 == socket).collect();
        heads.sort_unstable();
        let is_common = |line: &String| heads.iter().all(|head| head.2.contains(line));
        let common = heads.iter().take(1).flat_map(|head| &head.2);
        let common = common.filter(|line| is_common(line));
        let mut facts: Vec<_> = common.map(|line| format!("every call: {line}")).collect();
        for (_, method, lines) in &heads {
            let own = lines.iter().filter(|line| !is_common(line));
            facts.extend(own.map(|line| format!("{method:?}: {line}")));
        }
        facts
    }

    async fn restart(&mut self, dir: &Path) -> Result<Vec<String>> {
        let (file, folder) = (dir.join("file-beside"), dir.join("folder-beside"));
        fs::write(&file, "")?;
        fs::create_dir_all(&folder)?;
        let inner = folder.join("inner.sock");
        drop(StdListener::bind(&inner)?);
        // The number of an inode is used again at once.
        let identity = |path: &Path| {
            let metadata = fs::metadata(path);
            metadata.map(|metadata| (metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
        };
        let socket = dir.join(KUBELET_SOCKET);
        let before = identity(&socket)?;
        self.node.restart().await?;
        // A kubelet that was killed has left its socket behind.
        let end = Instant::now() + RESTART_TIMEOUT;
        while identity(&socket).is_ok_and(|now| now == before) || !socket.exists() {
            ensure!(Instant::now() < end, "the kubelet does not listen again");
            sleep(POLL_INTERVAL).await;
        }
        let mut facts = Vec::new();
        let stays = |path: &Path| if path.exists() { "stays" } else { "is removed" };
        for socket in self.plugins.keys() {
            facts.push(format!("{socket} {}", stays(&dir.join(socket))));
        }
        facts.push(format!("a file {}", stays(&file)));
        facts.push(format!("a socket in a folder {}", stays(&inner)));
        fs::remove_dir_all(&folder)?;
        drop(fs::remove_file(&file));
        Ok(facts)
    }
}

/// Calls `Register`, and says what comes back.
async fn register(
    dir: &Path,
    version: &str,
    resource: &str,
    endpoint: &str,
    options: Option<DevicePluginOptions>,
) -> Result<Vec<String>> {
    let kubelet = format!("unix:{}", dir.join(KUBELET_SOCKET).display());
    let channel = Endpoint::from_shared(kubelet)?.connect().await?;
    let request = RegisterRequest {
        version: version.to_owned(),
        endpoint: endpoint.to_owned(),
        resource_name: resource.to_owned(),
        options,
    };
    let start = Instant::now();
    let mut api = RegistrationClient::new(channel);
    let answer = timeout(Duration::from_mins(1), api.register(request)).await;
    let answer = answer.context("no answer in a minute")?;
    let class = Class::of(start.elapsed());
    // A path of this node is not a fact about kubelets.
    let dir = format!("{}/", dir.display());
    Ok(vec![match answer {
        Ok(_) => format!("accepted {class}"),
        Err(status) => format!(
            "rejected {class}, {:?}: {}",
            status.code(),
            status.message().replace(&dir, "DIR/")
        ),
    }])
}

fn device(&(id, health, node): &(&str, &str, Option<i64>)) -> Device {
    Device {
        id: id.to_owned(),
        health: health.to_owned(),
        topology: node.map(|id| TopologyInfo {
            nodes: vec![NumaNode { id }],
        }),
    }
}

fn describe(call: &Call, named: &[&str]) -> String {
    let mut parts = vec![
        format!("{:?} at {}", call.method, call.socket),
        format!("connection {}", call.connection),
    ];
    parts.extend(call.head.deadline.map(|class| format!("deadline {class}")));
    parts.extend(call.lists.iter().map(|(word, ids)| {
        let named = if *word == "size" { &[] } else { named };
        format!("{word} {}", list(ids, named))
    }));
    parts.join(", ")
}

/// IDs in one order; those without a name are counted.
fn list(ids: &[String], named: &[&str]) -> String {
    let is_named = |id: &&String| named.is_empty() || named.contains(&id.as_str());
    let mut known: Vec<_> = ids.iter().filter(is_named).cloned().collect();
    known.sort_unstable();
    match ids.len() - known.len() {
        0 => {}
        others => known.push(format!("{others} more")),
    }
    format!("[{}]", known.join(" "))
}

fn modes(dir: &Path, pod_resources: &Path) -> Result<Vec<String>> {
    let mut facts = Vec::new();
    let socket = dir.join(KUBELET_SOCKET);
    let checkpoint = dir.join(Checkpoint::FILE);
    for (name, path) in [
        ("device plugin directory", dir),
        ("socket for registration", &socket),
        ("socket of pod-resources", pod_resources),
        ("checkpoint", &checkpoint),
    ] {
        let metadata = fs::metadata(path)?;
        let kind = metadata.file_type();
        let kind = if kind.is_socket() {
            "socket"
        } else if kind.is_dir() {
            "directory"
        } else {
            "file"
        };
        let mode = metadata.permissions().mode() & 0o7777;
        facts.push(format!("{name}: {kind}, mode {mode:04o}"));
    }
    Ok(facts)
}

/// Plays the whole script, scenario after scenario.
pub(super) async fn play_all<N: Node>(
    node: &mut N,
    mut progress: impl FnMut(&str),
) -> Result<Vec<RecordedScenario>> {
    let mut recorded = Vec::new();
    for scenario in script::scenarios() {
        progress(scenario.name);
        recorded.push(Player::play(node, scenario).await?);
    }
    Ok(recorded)
}
