//! Where states are published.

use crate::{observer::Observer, resource_name::ResourceName, state::State};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// The states of all resources, as they are published.
pub(crate) type States = watch::Sender<BTreeMap<ResourceName, State>>;

/// Where the lifecycle of one resource writes its state.
///
/// When it is dropped, even by a lifecycle that ended in a way it should not, the state is
/// [`State::Stopped`].
pub(crate) struct StateCell {
    resource: ResourceName,
    states: Arc<States>,
    observer: Arc<dyn Observer>,
}

impl StateCell {
    pub(crate) fn new(
        resource: ResourceName,
        states: Arc<States>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            resource,
            states,
            observer,
        }
    }

    /// Publishes `state`. Returns whether that is news.
    pub(crate) fn set(&self, state: State) -> bool {
        let told = state.clone();
        let news = self.states.send_if_modified(|states| {
            let now = states.get(&self.resource);
            if now == Some(&state) || (now == Some(&State::NotHeard) && state.is_a_step()) {
                return false;
            }
            states.insert(self.resource.clone(), state);
            true
        });
        if news {
            self.observer.state_changed(&self.resource, &told);
        }
        news
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
    use crate::observer::Nobody;

    #[test]
    fn only_news_is_published_and_the_end_is_news() {
        let resource: ResourceName = "example.com/nic".parse().unwrap();
        let states = Arc::new(States::new(BTreeMap::new()));
        let mut seen = states.subscribe();
        let cell = StateCell::new(resource.clone(), Arc::clone(&states), Arc::new(Nobody));

        assert!(cell.set(State::Registering));
        seen.mark_unchanged();
        assert!(!cell.set(State::Registering));
        assert!(!seen.has_changed().unwrap());

        assert!(cell.set(State::NotHeard));
        for step in [State::Draining, State::Registering, State::Registered] {
            assert!(
                !cell.set(step),
                "no step is as good as a kubelet that listens"
            );
        }
        assert!(cell.set(State::Streaming));
        assert!(cell.set(State::Draining));

        drop(cell);
        assert_eq!(seen.borrow().get(&resource), Some(&State::Stopped));
    }
}
