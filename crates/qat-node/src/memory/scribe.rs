//! Writes what is remembered, beside the work.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::{info, warn};
use vfio_host::StateDir;

use super::{Memory, MemoryError};
use crate::lock::lock;
use crate::text::chain;

/// The name of the lock in the state directory.
pub(crate) const LOCK: &str = "state.lock";

/// How long the last writing may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes the latest memory. A disk that hangs holds up nothing but this.
///
/// Of two plugins on a node, as during an upgrade, the first writes (`state.lock`), and the second once the
/// first has ended and something changes.
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
    let mut held = None;
    while memories.changed().await.is_ok() {
        let memory = Memory::clone(&memories.borrow_and_update());
        let directory = state_dir.clone();
        let written = spawn_blocking(move || write_alone(memory, &directory, held)).await;
        let (lock, why) = match written {
            Ok(Ok(lock)) => (Some(lock), None),
            Ok(Err((lock, error))) => (lock, Some(chain(&error))),
            Err(error) => (None, Some(error.to_string())),
        };
        held = lock;
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

/// Writes with the lock that is held, or takes it first. What was held stays so.
fn write_alone(
    memory: Memory,
    state_dir: &Path,
    held: Option<File>,
) -> Result<File, (Option<File>, MemoryError)> {
    let lock = match held {
        Some(lock) => lock,
        None => take(state_dir).map_err(|error| (None, error))?,
    };
    match memory.write(state_dir) {
        Ok(()) => Ok(lock),
        Err(error) => Err((Some(lock), error)),
    }
}

fn take(state_dir: &Path) -> Result<File, MemoryError> {
    StateDir::open(state_dir)?;
    let path = state_dir.join(LOCK);
    lock(&path).map_err(|error| match error {
        TryLockError::WouldBlock => MemoryError::Elsewhere { path },
        TryLockError::Error(source) => MemoryError::Io {
            action: "lock",
            path,
            source,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memory that can be told from others.
    fn memory(vf: &str) -> Memory {
        Memory {
            given: [(vf.parse().unwrap(), Vec::new())].into(),
            ..Memory::default()
        }
    }

    fn written(dir: &Path) -> Option<String> {
        let memory = Memory::read(dir).unwrap()?;
        memory.given.keys().next().map(ToString::to_string)
    }

    #[tokio::test]
    async fn one_process_writes_and_the_next_when_it_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let first = Scribe::new(state.clone());
        first.remember(memory("0000:6b:00.1"), 1);
        first.end().await;
        assert_eq!(written(&state).as_deref(), Some("0000:6b:00.1"));

        let other = take(&state).unwrap();
        let second = Scribe::new(state.clone());
        second.remember(memory("0000:6b:00.2"), 2);
        second.end().await;
        assert_eq!(
            written(&state).as_deref(),
            Some("0000:6b:00.1"),
            "another has the lock"
        );
        let error = take(&state).unwrap_err().to_string();
        assert!(
            error.contains("only one plugin may serve a node"),
            "{error}"
        );
        drop(other);

        let third = Scribe::new(state.clone());
        third.remember(memory("0000:6b:00.3"), 3);
        third.end().await;
        assert_eq!(written(&state).as_deref(), Some("0000:6b:00.3"));
    }
}
