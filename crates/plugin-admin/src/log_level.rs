//! How much a running process logs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload::Handle;

use crate::level;

/// Changes how much is logged while the process runs.
///
/// A node that misbehaves now should not be restarted only to hear more of it. Clones speak of the same log.
#[derive(Clone, Debug)]
pub struct LogLevel {
    filter: Handle<Targets, Registry>,
    usual: Targets,
    usual_verbosity: u8,
    verbosity: Arc<AtomicU8>,
}

impl LogLevel {
    pub(crate) fn new(filter: Handle<Targets, Registry>, usual: Targets, verbosity: u8) -> Self {
        Self {
            filter,
            usual,
            usual_verbosity: verbosity,
            verbosity: Arc::new(AtomicU8::new(verbosity)),
        }
    }

    /// Logs a step more: from info to debug, from debug to trace. Returns the level. What the environment asked for is
    /// replaced.
    pub fn louder(&self) -> String {
        let verbosity = match self.verbosity.load(Ordering::Relaxed) {
            0 | 1 => 2,
            more => more.max(4),
        };
        self.verbosity.store(verbosity, Ordering::Relaxed);
        // Directives of ours can be read.
        let filter = level::directives(verbosity).parse().unwrap_or_default();
        self.set(filter);
        level::of(verbosity).to_string()
    }

    /// Logs as much as at the start again.
    pub fn usual(&self) {
        self.verbosity
            .store(self.usual_verbosity, Ordering::Relaxed);
        self.set(self.usual.clone());
    }

    fn set(&self, filter: Targets) {
        // Only a log that is gone does not take it.
        let _gone = self.filter.reload(filter);
    }
}
