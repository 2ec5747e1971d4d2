//! All resources of a plugin.

use crate::{
    backoff::Backoff,
    dir_watch::watch_directory,
    kubelet_dir::KubeletDir,
    lifecycle::Lifecycle,
    observer::{Nobody, Observer},
    plugin::DevicePlugin,
    resource_name::ResourceName,
    socket::{SocketError, check_length},
    state::State,
    state_cell::{StateCell, States},
};
use std::{
    collections::BTreeMap,
    fmt::{self, Debug, Formatter},
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::{Handle, TryCurrentError},
    sync::watch,
    task::JoinError,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Leads the resources of a plugin through their lives with the kubelet.
///
/// It owns a task for each resource, and one that watches the directory of the sockets. When it
/// is dropped they end at once. [`shutdown`](Self::shutdown) ends them in an orderly way.
pub struct Supervisor {
    dir: KubeletDir,
    states: Arc<States>,
    ticks: watch::Sender<u64>,
    observer: Arc<dyn Observer>,
    /// Present from the first offer on.
    watcher: Option<AbortOnDropHandle<()>>,
    running: BTreeMap<ResourceName, Running>,
}

/// A resource that is offered.
#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// Why a resource cannot be offered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The resource is offered already.
    #[error("resource `{resource}` is offered already")]
    AlreadyOffered {
        /// The resource.
        resource: ResourceName,
    },
    /// The resource cannot have a socket.
    #[error("resource `{resource}` cannot be served")]
    Socket {
        /// The resource.
        resource: ResourceName,
        /// Why.
        source: SocketError,
    },
    /// The call was made outside of a tokio runtime.
    #[error("resources can only be offered within a tokio runtime")]
    NoRuntime {
        /// What tokio said.
        source: TryCurrentError,
    },
}

impl Supervisor {
    /// Makes a supervisor that meets the kubelet in `dir`. Nothing happens before an offer.
    pub fn new(dir: KubeletDir) -> Self {
        Self {
            dir,
            states: Arc::new(States::new(BTreeMap::new())),
            ticks: watch::Sender::new(0),
            observer: Arc::new(Nobody),
            watcher: None,
            running: BTreeMap::new(),
        }
    }

    /// Tells `observer` what happens to the resources that are offered from now on.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Offers a resource to the kubelet, from now on until it is withdrawn.
    ///
    /// The kubelet, its directory and the devices need not be there yet.
    ///
    /// # Errors
    ///
    /// * [`OfferError::AlreadyOffered`] when it is offered already.
    /// * [`OfferError::Socket`] when the path of its socket would be too long.
    /// * [`OfferError::NoRuntime`] outside of a tokio runtime.
    pub fn offer(
        &mut self,
        resource: ResourceName,
        plugin: Arc<dyn DevicePlugin>,
    ) -> Result<(), OfferError> {
        if self.running.contains_key(&resource) {
            return Err(OfferError::AlreadyOffered { resource });
        }
        if let Err(source) = check_length(&self.dir.plugin_socket(&resource)) {
            return Err(OfferError::Socket { resource, source });
        }
        let runtime = Handle::try_current().map_err(|source| OfferError::NoRuntime { source })?;
        if self.watcher.is_none() {
            let watcher = watch_directory(self.dir.clone(), self.ticks.clone());
            self.watcher = Some(AbortOnDropHandle::new(runtime.spawn(watcher)));
        }
        let stop = CancellationToken::new();
        let lifecycle = Lifecycle {
            dir: self.dir.clone(),
            resource: resource.clone(),
            plugin,
            state: StateCell::new(
                resource.clone(),
                Arc::clone(&self.states),
                Arc::clone(&self.observer),
            ),
            observer: Arc::clone(&self.observer),
            ticks: self.ticks.subscribe(),
            stop: stop.clone(),
            backoff: Backoff::new(),
            failures: 0,
            kubelet: None,
            stuck_sockets: 0,
        };
        let task = AbortOnDropHandle::new(runtime.spawn(lifecycle.run()));
        self.running.insert(resource, Running { stop, task });
        Ok(())
    }

    /// Withdraws a resource: its streams end, and its socket is removed.
    ///
    /// The kubelet marks all its devices unhealthy at once, and forgets the resource after five
    /// minutes. Pods that hold devices keep them. A resource that is not offered is no error.
    pub async fn withdraw(&mut self, resource: &ResourceName) {
        if let Some(Running { stop, task }) = self.running.remove(resource) {
            stop.cancel();
            tell_panic(resource, task.await);
            self.states
                .send_if_modified(|states| states.remove(resource).is_some());
        }
    }

    /// Returns how each resource stands with the kubelet, now and as it changes.
    pub fn states(&self) -> watch::Receiver<BTreeMap<ResourceName, State>> {
        self.states.subscribe()
    }

    /// Withdraws all resources, within `grace`.
    ///
    /// The streams end and the sockets are removed at once. Calls of the kubelet that are being
    /// answered may end. What is not done within the grace is cut off.
    pub async fn shutdown(mut self, grace: Duration) {
        for running in self.running.values() {
            running.stop.cancel();
        }
        let orderly = async {
            for (resource, running) in &mut self.running {
                tell_panic(resource, (&mut running.task).await);
            }
        };
        if timeout(grace, orderly).await.is_ok() {
            return;
        }
        for (resource, running) in &mut self.running {
            if !running.task.is_finished() {
                tracing::warn!(%resource, "did not end within the grace, and is cut off");
                running.task.abort();
                // The task is dropped at its next `.await`, and removes its socket then.
                tell_panic(resource, (&mut running.task).await);
            }
        }
    }
}

impl Debug for Supervisor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let states = self.states.borrow();
        f.debug_struct("Supervisor")
            .field("dir", &self.dir)
            .field("states", &*states)
            .finish_non_exhaustive()
    }
}

/// Makes it known that the code of a plugin has panicked.
fn tell_panic(resource: &ResourceName, end: Result<(), JoinError>) {
    if let Err(error) = end
        && error.is_panic()
    {
        tracing::error!(%resource, %error, "the task of a resource has failed");
    }
}
