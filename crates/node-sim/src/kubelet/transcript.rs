//! What happened, in order.

use std::{
    fmt,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{merge::Conflict, options::Fault, view::PluginOptions};

/// One entry of the [`Transcript`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The time since the kubelet was first started, on the monotonic clock.
    pub at: Duration,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
///
/// `stream` numbers the connections to plugins, from 1, over all resources.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub enum EventKind {
    /// The kubelet listens on `kubelet.sock`.
    Started {
        dir: PathBuf,
        seed: u64,
        removed: Vec<String>,
    },
    /// The kubelet is gone. Its socket file stays behind, as after a kill.
    Stopped,
    /// A scripted fault strikes.
    Misbehaved { resource: String, fault: Fault },
    /// A plugin called `Register`.
    Register {
        resource: String,
        endpoint: String,
        version: String,
    },
    /// The plugin's socket was reached, inside `Register`.
    Dialled { resource: String, stream: u64 },
    /// `GetDevicePluginOptions` was answered, inside `Register`.
    Options {
        resource: String,
        stream: u64,
        options: PluginOptions,
    },
    /// `Register` was answered with success.
    Registered { resource: String, stream: u64 },
    /// `Register` was answered with an error.
    Refused { resource: String, message: String },
    /// The plugin gave up `Register` before the answer.
    Abandoned { resource: String },
    /// `ListAndWatch` was accepted.
    StreamOpened { resource: String, stream: u64 },
    /// A device list replaced the one before.
    List {
        resource: String,
        stream: u64,
        healthy: usize,
        unhealthy: usize,
    },
    /// `ListAndWatch` is over.
    StreamEnded {
        resource: String,
        stream: u64,
        end: StreamEnd,
    },
    /// All devices of the resource count as unhealthy from here on.
    MarkedUnhealthy { resource: String },
    /// The resource was forgotten: its plugin stayed away for too long.
    Forgotten { resource: String },
    /// `GetPreferredAllocation` was answered. The IDs are in the order of the wire.
    Preferred {
        resource: String,
        available: Vec<String>,
        must_include: Vec<String>,
        size: usize,
        answer: Vec<String>,
    },
    /// `Allocate` was answered with success. The IDs are in the order of the wire.
    Allocated {
        pod: String,
        resource: String,
        ids: Vec<String>,
    },
    /// `PreStartContainer` was answered with success.
    PreStarted {
        pod: String,
        resource: String,
        ids: Vec<String>,
    },
    /// Two answers for one container do not agree. The first one counts.
    Conflict { pod: String, conflict: Conflict },
    /// The pod was admitted.
    Admitted { pod: String },
    /// The pod was not admitted, with the text of the pod's status.
    Rejected { pod: String, message: String },
    /// The container did not start. Its pod keeps its devices.
    StartFailed { pod: String, message: String },
    /// The pod was deleted. Nobody tells the plugin.
    Deleted { pod: String },
    /// All containers of the pod have ended. Nobody tells the plugin.
    Completed { pod: String },
    /// Somebody called the pod resources API. `error` is the gRPC code, as in `Unknown`.
    PodResources {
        method: &'static str,
        error: Option<String>,
    },
    /// The checkpoint could not be read or written. The kubelet goes on without.
    CheckpointFailed { message: String },
    /// The plugin did something that works by luck. Tests should have none of these.
    Warning { resource: String, text: String },
}

/// Why a stream ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StreamEnd {
    /// The plugin ended the stream in good order.
    Plugin,
    /// The call or the connection failed.
    Failed(
        /// The gRPC status as text.
        String,
    ),
    /// The kubelet hung up: a scripted fault, or the race up to 1.36.
    Kubelet,
}

/// A copy of all events so far. `Display` prints one line for each, for people.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Transcript(Vec<Event>);

impl Transcript {
    /// The events, oldest first.
    pub fn events(&self) -> &[Event] {
        &self.0
    }

    /// The warnings. A plugin that does all well has none.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|event| match &event.kind {
            EventKind::Warning { text, .. } => Some(text.as_str()),
            _ => None,
        })
    }

    /// How many events fit.
    pub fn count(&self, fits: impl Fn(&EventKind) -> bool) -> usize {
        self.0.iter().filter(|event| fits(&event.kind)).count()
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}

/// The growing list of events.
#[derive(Debug)]
pub(super) struct Log {
    start: Instant,
    events: Vec<Event>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            events: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, kind: EventKind) {
        let at = self.start.elapsed();
        self.events.push(Event { at, kind });
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    pub(super) fn transcript(&self) -> Transcript {
        Transcript(self.events.clone())
    }
}
