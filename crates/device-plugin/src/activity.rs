//! What goes on in a session: streams and calls of the kubelet.

use crate::connections::Busy;
use std::sync::Arc;
use tokio::sync::watch;

/// Counts of what the kubelet does with us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// The lists of devices that were ever asked for in this session.
    pub(crate) streams_opened: u64,
    /// Those that are still listened to.
    pub(crate) streams_open: u64,
    /// Calls that the plugin has not answered yet.
    pub(crate) calls: u64,
}

/// Keeps the counts of a session, and tells who waits for them.
#[derive(Clone, Debug)]
pub(crate) struct Activity(Arc<watch::Sender<Counts>>);

/// Something that goes on. It is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Ongoing {
    activity: Activity,
    end: fn(&mut Counts),
    /// The connection that it goes on.
    _on: Option<Busy>,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Counts::default())))
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Counts> {
        self.0.subscribe()
    }

    /// A stream of lists begins.
    pub(crate) fn stream(&self, on: Option<Busy>) -> Ongoing {
        self.begin(
            on,
            |counts| {
                counts.streams_opened += 1;
                counts.streams_open += 1;
            },
            |counts| counts.streams_open -= 1,
        )
    }

    /// A call of the plugin begins.
    pub(crate) fn call(&self, on: Option<Busy>) -> Ongoing {
        self.begin(on, |counts| counts.calls += 1, |counts| counts.calls -= 1)
    }

    fn begin(&self, on: Option<Busy>, begin: fn(&mut Counts), end: fn(&mut Counts)) -> Ongoing {
        self.0.send_modify(begin);
        let activity = self.clone();
        Ongoing {
            activity,
            end,
            _on: on,
        }
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.activity.0.send_modify(self.end);
    }
}
