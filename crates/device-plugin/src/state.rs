//! How a resource stands with the kubelet.

use crate::resource_name::ResourceName;
use serde::Serialize;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use tokio::sync::watch;

/// How a resource stands with the kubelet.
///
/// The usual way is down this list to [`Streaming`](Self::Streaming). From anywhere, a kubelet
/// that restarts leads back to [`WaitingForKubelet`](Self::WaitingForKubelet) or
/// [`Registering`](Self::Registering).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub enum State {
    /// There is no device yet, so that there is nothing to offer.
    WaitingForDevices,
    /// There is no kubelet: no socket of its, or nobody who answers there.
    WaitingForKubelet,
    /// Another process serves on the path of our socket. It is left alone, and asked for again
    /// later.
    SocketInUse {
        /// The path of the socket.
        path: PathBuf,
    },
    /// Our socket cannot be made. Tried again later.
    SocketFailed {
        /// Why, for a person.
        message: String,
    },
    /// The kubelet is being asked to take the resource.
    Registering,
    /// The kubelet does not take the resource. Tried again later.
    Refused {
        /// What the kubelet said.
        message: String,
    },
    /// The kubelet has taken the resource, but does not listen to the list of devices yet.
    Registered,
    /// The kubelet listens to the list of devices. All is well.
    Streaming,
    /// The resource is no longer offered.
    Stopped,
}

/// The states of all resources, as they are published.
pub(crate) type States = watch::Sender<BTreeMap<ResourceName, State>>;

/// Where the lifecycle of one resource writes its state.
///
/// When it is dropped, even by a lifecycle that ended in a way it should not, the state is
/// [`State::Stopped`].
pub(crate) struct StateCell {
    resource: ResourceName,
    states: Arc<States>,
}

impl StateCell {
    pub(crate) fn new(resource: ResourceName, states: Arc<States>) -> Self {
        Self { resource, states }
    }

    /// Publishes `state`. Returns whether that is news.
    pub(crate) fn set(&self, state: State) -> bool {
        self.states.send_if_modified(|states| {
            if states.get(&self.resource) == Some(&state) {
                return false;
            }
            states.insert(self.resource.clone(), state);
            true
        })
    }
}

impl Drop for StateCell {
    fn drop(&mut self) {
        self.set(State::Stopped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_news_is_published_and_the_end_is_news() {
        let resource: ResourceName = "example.com/nic".parse().unwrap();
        let states = Arc::new(States::new(BTreeMap::new()));
        let mut seen = states.subscribe();
        let cell = StateCell::new(resource.clone(), Arc::clone(&states));

        assert!(cell.set(State::Registering));
        seen.mark_unchanged();
        assert!(!cell.set(State::Registering));
        assert!(!seen.has_changed().unwrap());

        drop(cell);
        assert_eq!(seen.borrow().get(&resource), Some(&State::Stopped));
    }
}
