//! The life of one resource with the kubelet: a machine of states.
//!
//! ```text
//!                WaitingForDevices ──► WaitingForKubelet
//!                        ▲                    │ a device, and a socket of the kubelet
//!                        │                    ▼
//!                        │           bind and serve our socket ──► SocketInUse, SocketFailed
//!                        │                    │                        │ rest
//!                        │                    ▼                        ▼
//!                        │               Registering ──► Refused, again and again
//!                        │                    │              │
//!                        │                    ▼              │ disturbed
//!   rest, unless the  Draining ◄───────── Registered         │
//!   kubelet is new       ▲  ▲ disturbed       │              │
//!                        │  │                 ▼              │
//!                        │  └───────────── Streaming         │
//!                        │   stream lost                     │
//!                        └───────────────────────────────────┘
//! ```
//!
//! Disturbed means that another file is on the path of kubelet.sock, or that our own socket is gone: the
//! kubelet was restarted. Registered without a stream for ten seconds is `NotHeard`, and leads to
//! Draining as well. From everywhere a stop leads to Draining and Stopped. In Draining the streams and
//! connections of the session end before anything new begins.

use crate::{
    backoff::Backoff,
    dir_watch::Ticks,
    kubelet_dir::KubeletDir,
    observer::Observer,
    plugin::DevicePlugin,
    resource_name::ResourceName,
    service::{ALLOCATE_LIMIT, RegisterError, Service, register},
    session::Session,
    socket::{FileIdentity, SocketError},
    state::State,
    state_cell::StateCell,
};
use std::{
    future::pending,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    select,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug_span};

/// How long Register may take. The kubelet dials back within it, and waits 10 s for that.
const REGISTER_LIMIT: Duration = Duration::from_secs(15);
/// How long the kubelet may take from the end of Register to its first list.
const FIRST_STREAM_LIMIT: Duration = Duration::from_secs(10);
/// After this long, a session in which the kubelet listened counts as a success, and the waits start
/// over with short ones.
const SUCCESS: Duration = Duration::from_secs(10);

/// The life of one resource with the kubelet, until it is stopped.
pub(crate) struct Lifecycle {
    pub(crate) dir: KubeletDir,
    pub(crate) resource: ResourceName,
    pub(crate) plugin: Arc<dyn DevicePlugin>,
    pub(crate) state: StateCell,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) ticks: Ticks,
    pub(crate) stop: CancellationToken,
    pub(crate) backoff: Backoff,
    /// Sessions in a row that were no success. After the first the log is left alone.
    pub(crate) failures: u32,
    /// The last kubelet.
    pub(crate) kubelet: Option<FileIdentity>,
    /// How many names of sockets this kubelet rejects until it restarts.
    ///
    /// Since 1.37 a kubelet that gets Register before it has noticed the end of the old stream rejects
    /// the socket as connected already, and then never notices that end.
    pub(crate) stuck_sockets: u32,
}

/// Why a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
enum Ended {
    #[error("the kubelet was restarted or is gone")]
    KubeletChanged,
    #[error("our socket is gone")]
    SocketGone,
    #[error("the kubelet no longer listens")]
    StreamLost,
    #[error("the kubelet has taken the resource, but does not listen")]
    NoStream,
    #[error("the kubelet missed the end of an earlier connection; using another socket")]
    StuckSocket,
}

impl Lifecycle {
    /// Lives until it is stopped.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        while let Some(kubelet) = stop.run_until_cancelled(self.ready()).await {
            let path = self.socket_for(kubelet);
            let service = Service {
                resource: self.resource.clone(),
                plugin: Arc::clone(&self.plugin),
                observer: Arc::clone(&self.observer),
            };
            let session = match Session::open(&path, service).await {
                Ok(session) => session,
                Err(error) => {
                    self.no_socket(error);
                    stop.run_until_cancelled(self.rest(kubelet)).await;
                    continue;
                }
            };
            let begun = Instant::now();
            let Some(ended) = stop.run_until_cancelled(self.hold(&session, kubelet)).await else {
                self.state.set(State::Draining);
                session.end(ALLOCATE_LIMIT).await;
                break;
            };
            if ended != Ended::NoStream && begun.elapsed() >= SUCCESS {
                self.backoff.reset();
                self.failures = 0;
            }
            if ended == Ended::StuckSocket {
                self.stuck_sockets = self.stuck_sockets.saturating_add(1);
            }
            if ended == Ended::NoStream && self.state.set(State::NotHeard) {
                tracing::error!(resource = %self.resource, "{}", State::NotHeard);
            } else if self.failures == 0 {
                tracing::info!(resource = %self.resource, reason = %ended, "registering anew");
            } else {
                tracing::debug!(resource = %self.resource, reason = %ended, "registering anew");
            }
            self.failures = self.failures.saturating_add(1);
            self.state.set(State::Draining);
            session.end(Duration::ZERO).await;
            stop.run_until_cancelled(self.rest(kubelet)).await;
        }
        tracing::info!(resource = %self.resource, "no longer offered");
    }

    /// The path of a socket that this kubelet may accept.
    fn socket_for(&mut self, kubelet: FileIdentity) -> PathBuf {
        if self.kubelet.replace(kubelet) != Some(kubelet) {
            self.stuck_sockets = 0;
        }
        let path = self.dir.plugin_socket(&self.resource);
        match self.stuck_sockets {
            0 => path,
            // No resource name has a `~`.
            number => path.with_extension(format!("~{number}.sock")),
        }
    }

    /// Waits for a device and for the kubelet. Returns which kubelet it is.
    async fn ready(&mut self) -> FileIdentity {
        let mut devices = self.plugin.devices();
        if devices.borrow().is_empty() && self.state.set(State::WaitingForDevices) {
            tracing::info!(resource = %self.resource, "waiting for a first device");
        }
        if devices.wait_for(|set| !set.is_empty()).await.is_err() {
            tracing::warn!(resource = %self.resource, "the plugin has no device and publishes no more");
            pending::<()>().await;
        }
        let socket = self.dir.kubelet_socket();
        loop {
            self.ticks.mark_unchanged();
            if let Some(kubelet) = FileIdentity::of_socket(&socket) {
                return kubelet;
            }
            if self.state.set(State::WaitingForKubelet) {
                let (resource, socket) = (&self.resource, socket.display());
                tracing::info!(%resource, %socket, "waiting for the kubelet");
            }
            tick(&mut self.ticks).await;
        }
    }

    /// Registers, and watches over what comes of it. Returns when that is over.
    async fn hold(&mut self, session: &Session, kubelet: FileIdentity) -> Ended {
        match self.register(session, kubelet).await {
            Ok(()) => self.watch(session, kubelet).await,
            Err(ended) => ended,
        }
    }

    /// Registers until the kubelet takes the resource.
    async fn register(&mut self, session: &Session, kubelet: FileIdentity) -> Result<(), Ended> {
        let socket = self.dir.kubelet_socket();
        self.state.set(State::Registering);
        loop {
            let attempt = register(
                &self.dir,
                session.path(),
                &self.resource,
                self.plugin.options(),
            );
            let attempt = attempt.instrument(debug_span!("register", resource = %self.resource));
            let result = select! {
                result = timeout(REGISTER_LIMIT, attempt) => result,
                ended = disturbed(&mut self.ticks, session, &socket, kubelet) => return Err(ended),
            };
            match result.unwrap_or(Err(RegisterError::TimedOut)) {
                Ok(()) => return Ok(()),
                Err(RegisterError::AlreadyConnected) => return Err(Ended::StuckSocket),
                Err(error) => self.not_registered(&error),
            }
            select! {
                () = sleep(self.backoff.next_delay()) => {}
                ended = disturbed(&mut self.ticks, session, &socket, kubelet) => return Err(ended),
            }
        }
    }

    /// Watches over a resource that the kubelet has taken.
    async fn watch(&mut self, session: &Session, kubelet: FileIdentity) -> Ended {
        let socket = self.dir.kubelet_socket();
        let path = session.path().display();
        if self.failures <= 1 {
            tracing::info!(resource = %self.resource, socket = %path, "registered");
        } else {
            tracing::debug!(resource = %self.resource, socket = %path, "registered");
        }
        self.state.set(State::Registered);
        let mut counts = session.activity();
        let state = &self.state;
        let stream = async {
            let first = counts.wait_for(|counts| counts.streams_opened > 0);
            if timeout(FIRST_STREAM_LIMIT, first).await.is_err() {
                return Ended::NoStream;
            }
            state.set(State::Streaming);
            // The sender lives in the session, so that this cannot fail.
            let _closed = counts
                .wait_for(|counts| counts.streams_open == 0)
                .await
                .is_err();
            Ended::StreamLost
        };
        select! {
            ended = stream => ended,
            ended = disturbed(&mut self.ticks, session, &socket, kubelet) => ended,
        }
    }

    /// Rests before the next session, unless there is a kubelet that we have not met.
    async fn rest(&mut self, kubelet: FileIdentity) {
        let socket = self.dir.kubelet_socket();
        let another = async {
            loop {
                self.ticks.mark_unchanged();
                let now = FileIdentity::of_socket(&socket);
                if now.is_some_and(|now| now != kubelet) {
                    return;
                }
                tick(&mut self.ticks).await;
            }
        };
        if timeout(self.backoff.next_delay(), another).await.is_ok() {
            self.backoff.reset();
            self.failures = 0;
        }
    }

    fn not_registered(&self, error: &RegisterError) {
        let state = match error {
            RegisterError::Refused { message } => State::Refused {
                message: message.clone(),
            },
            RegisterError::Unreachable { .. }
            | RegisterError::TimedOut
            | RegisterError::AlreadyConnected => State::WaitingForKubelet,
        };
        if self.state.set(state) {
            tracing::warn!(resource = %self.resource, %error, "not registered; trying on");
        } else {
            tracing::debug!(resource = %self.resource, %error, "still not registered");
        }
    }

    fn no_socket(&self, error: SocketError) {
        let mut message = error.to_string();
        if let SocketError::Io { source, .. } = &error {
            message = format!("{message}: {source}");
        }
        let state = match error {
            SocketError::InUse { path } => State::SocketInUse { path },
            _ => State::SocketFailed {
                message: message.clone(),
            },
        };
        if self.state.set(state) {
            tracing::warn!(resource = %self.resource, error = message, "no socket; trying on");
        }
    }
}

/// Returns when the kubelet is another, or can no longer reach us.
async fn disturbed(
    ticks: &mut Ticks,
    session: &Session,
    socket: &Path,
    kubelet: FileIdentity,
) -> Ended {
    loop {
        ticks.mark_unchanged();
        if FileIdentity::of_socket(socket) != Some(kubelet) {
            return Ended::KubeletChanged;
        }
        if !session.stands() {
            return Ended::SocketGone;
        }
        tick(ticks).await;
    }
}

/// Waits until the directory should be looked at again.
async fn tick(ticks: &mut Ticks) {
    if ticks.changed().await.is_err() {
        // The watcher lives as long as the supervisor. Without it there is no more to see.
        pending::<()>().await;
    }
}
