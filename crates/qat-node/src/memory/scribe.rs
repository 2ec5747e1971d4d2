//! Writes what is remembered, beside the work.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::{info, warn};

use super::Memory;
use crate::text::chain;

/// How long the last writing may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes the latest memory. A disk that hangs holds up nothing but this.
#[derive(Debug)]
pub(crate) struct Scribe {
    latest: watch::Sender<Arc<Memory>>,
    task: JoinHandle<()>,
}

impl Scribe {
    /// Writes into this directory. Within a tokio runtime.
    pub(crate) fn new(state_dir: PathBuf) -> Self {
        let (latest, memories) = watch::channel(Arc::default());
        Self {
            latest,
            task: tokio::spawn(write(memories, state_dir)),
        }
    }

    /// Has this written, unless it says what was written last.
    pub(crate) fn remember(&self, mut memory: Memory, now: u64) {
        memory.written = self.latest.borrow().written;
        if **self.latest.borrow() != memory {
            memory.written = now;
            self.latest.send_replace(Arc::new(memory));
        }
    }

    /// Waits until all is written, for a while.
    pub(crate) async fn end(self) {
        drop(self.latest);
        let _in_time = timeout(PATIENCE, self.task).await;
    }
}

async fn write(mut memories: watch::Receiver<Arc<Memory>>, state_dir: PathBuf) {
    let mut trouble = None;
    while memories.changed().await.is_ok() {
        let memory = Memory::clone(&memories.borrow_and_update());
        let directory = state_dir.clone();
        let written = spawn_blocking(move || memory.write(&directory)).await;
        let why = match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(error) => Some(error.to_string()),
        };
        match &why {
            Some(why) if trouble.as_ref() != Some(why) => warn!(
                "{why}; a restart of the plugin will not know what was advertised before, nor does qat-inspect"
            ),
            None if trouble.is_some() => {
                info!("what is remembered over a restart is written again");
            }
            _ => {}
        }
        trouble = why;
    }
}
