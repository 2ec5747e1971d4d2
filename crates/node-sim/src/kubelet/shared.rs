//! What the kubelet's tasks share: the state, and a bell that rings when it changed.

use std::{
    ffi::OsStr,
    io, mem,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    net::UnixListener,
    select,
    sync::{Mutex as AsyncMutex, watch},
    task::JoinSet,
};
use tokio_stream::{Stream, StreamExt, wrappers::UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::Error;

use super::{
    connections::{Connection, Connections},
    options::{KubeletOptions, PodResources},
    state::State,
};

/// Outlives restarts of the kubelet.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) options: KubeletOptions,
    /// Held during an admission: the kubelet admits one pod after another.
    pub(super) admission: AsyncMutex<()>,
    state: Mutex<State>,
    bell: watch::Sender<()>,
}

impl Shared {
    pub(super) fn new(dir: PathBuf, options: KubeletOptions) -> Self {
        Self {
            admission: AsyncMutex::new(()),
            state: Mutex::new(State::new(dir.clone(), &options)),
            dir,
            bell: watch::Sender::new(()),
            options,
        }
    }

    /// The directory of the pod resources socket, if there is to be one.
    pub(super) fn pod_resources(&self) -> Option<PathBuf> {
        let in_root = self.dir.file_name() == Some(OsStr::new("device-plugins"));
        let served = in_root && self.options.pod_resources != PodResources::Absent;
        served.then(|| self.dir.with_file_name("pod-resources"))
    }

    /// Looks at the state, or changes it, and rings the bell.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = self.look(change);
        self.bell.send_replace(());
        value
    }

    /// Looks at the state without a sound.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn bell(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }
}

/// Connections to one socket of the kubelet.
pub(super) type Incoming = Pin<Box<dyn Stream<Item = io::Result<Connection>> + Send>>;

/// One life of the kubelet, from start to stop. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) tasks: Tasks,
    pub(super) connections: Connections,
}

impl Run {
    /// Serves on `listener` until this life is over.
    pub(super) fn serve<F>(&self, listener: UnixListener, server: impl FnOnce(Incoming) -> F)
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let connections = self.connections.clone();
        let incoming = UnixListenerStream::new(listener)
            .map(move |stream| stream.and_then(|stream| connections.track(stream)));
        let server = server(Box::pin(incoming));
        let token = self.tasks.token.clone();
        self.tasks.spawn(async move {
            select! {
                () = token.cancelled() => {}
                result = server => drop(result),
            }
        });
    }

    /// Hangs up on everybody and waits until all tasks are gone.
    pub(super) async fn end(self) {
        self.tasks.token.cancel();
        self.connections.cut();
        let mut set = {
            let mut set = self
                .tasks
                .set
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            mem::take(&mut *set)
        };
        set.shutdown().await;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.tasks.token.cancel();
        self.connections.cut();
        let mut set = self
            .tasks
            .set
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        set.abort_all();
    }
}

/// The tasks of one life of the kubelet.
#[derive(Clone, Default, Debug)]
pub(super) struct Tasks {
    /// Cancelled when this life is over.
    pub(super) token: CancellationToken,
    set: Arc<Mutex<JoinSet<()>>>,
}

impl Tasks {
    /// Runs `task`, unless this life is over.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        while set.try_join_next().is_some() {}
        if !self.token.is_cancelled() {
            set.spawn(task);
        }
    }
}
