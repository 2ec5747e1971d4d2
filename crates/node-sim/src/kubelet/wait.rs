//! Waiting with a deadline, and telling what happened when it was missed.

use std::{collections::BTreeMap, error::Error, fmt, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    shared::Shared,
    state::State,
    transcript::{Event, EventKind, Transcript},
    view::ResourceView,
};

/// A deadline was missed. `Display` and `Debug` show the resources and the transcript, so
/// that `unwrap` in a test says what happened.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitTimeout {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub waited: Duration,
    /// The resources at the end.
    pub resources: BTreeMap<String, ResourceView>,
    /// All events.
    pub transcript: Transcript,
}

impl Error for WaitTimeout {}

impl fmt::Display for WaitTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "waited {:?} in vain for {}", self.waited, self.what)?;
        for view in self.resources.values() {
            let stream = if view.streaming { "open" } else { "closed" };
            writeln!(
                f,
                "  {}: {} of {} devices allocatable, {} assigned, {} lists, stream {stream}",
                view.name, view.allocatable, view.capacity, view.assigned, view.lists_received
            )?;
        }
        write!(f, "{}", self.transcript)
    }
}

impl fmt::Debug for WaitTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Shared {
    /// Looks at the state after each change until `look` finds something.
    async fn until<T>(
        &self,
        what: impl FnOnce() -> String,
        limit: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, WaitTimeout> {
        let deadline = Instant::now() + limit;
        let mut bell = self.bell();
        loop {
            let (found, expiry) = self.look(|state| {
                let expiry = state.expire();
                (look(state), expiry)
            });
            if let Some(found) = found {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                return Err(self.look(|state| WaitTimeout {
                    what: what(),
                    waited: limit,
                    resources: state.views(),
                    transcript: state.log.transcript(),
                }));
            }
            let wake = expiry.map_or(deadline, |expiry| deadline.min(expiry.into()));
            // A missed bell is as good as a heard one: both look again.
            drop(timeout_at(wake, bell.changed()).await);
        }
    }

    pub(super) async fn until_view(
        &self,
        resource: &str,
        limit: Duration,
        mut fits: impl FnMut(&ResourceView) -> bool,
    ) -> Result<ResourceView, WaitTimeout> {
        let what = || format!("a state of {resource}");
        self.until(what, limit, |state| {
            let assigned = state.assigned(resource).len();
            let view = state.resources.get(resource)?.view(resource, assigned);
            fits(&view).then_some(view)
        })
        .await
    }

    pub(super) async fn until_views(
        &self,
        what: &str,
        limit: Duration,
        mut fits: impl FnMut(&BTreeMap<String, ResourceView>) -> bool,
    ) -> Result<(), WaitTimeout> {
        self.until(
            || what.to_owned(),
            limit,
            |state| fits(&state.views()).then_some(()),
        )
        .await
    }

    pub(super) async fn until_event(
        &self,
        what: &str,
        skip: usize,
        limit: Duration,
        mut fits: impl FnMut(&EventKind) -> bool,
    ) -> Result<Event, WaitTimeout> {
        let mut seen = skip;
        self.until(
            || what.to_owned(),
            limit,
            |state| {
                let events = state.log.events();
                let new = events.get(seen..).unwrap_or_default();
                seen = events.len().max(seen);
                new.iter().find(|event| fits(&event.kind)).cloned()
            },
        )
        .await
    }
}
