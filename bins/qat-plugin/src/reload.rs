//! The configuration file, read anew when it changes.
//!
//! A `ConfigMap` in a pod is a directory: `config.yaml` is a link to `..data/config.yaml`, and `..data` a link that the kubelet turns to a
//! new directory (`AtomicWriter` in `pkg/volume/util`). So the directory of the file is watched, and what counts is whether the path
//! leads to another file, or the file was written to.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use device_plugin::DirEvents;
use qat_node::{Metrics, Wishes};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::settings::{Settings, SettingsError, Told};

/// How often to look where nothing says that something changed, or what says so may have missed it.
const AGAIN: Duration = Duration::from_mins(1);

/// A file that is written in place is not whole at once.
const SETTLE: Duration = Duration::from_millis(50);

/// What is held against a new reading.
pub(crate) struct Reload<'a> {
    /// Reads everything anew.
    pub(crate) read: &'a (dyn Fn() -> Result<Settings, SettingsError> + 'a),
    /// What holds, and where it is from.
    pub(crate) told: Vec<Told>,
    /// Who wants to know of changes.
    pub(crate) wishes: watch::Sender<Arc<Wishes>>,
    /// Counts them.
    pub(crate) metrics: Arc<Metrics>,
    /// Whether what is in the file now cannot be used.
    pub(crate) stale: bool,
}

impl Reload<'_> {
    /// Follows the file for ever.
    pub(crate) async fn follow(mut self, file: &Path) {
        let directory = file.parent().unwrap_or(file);
        let events = DirEvents::new().ok();
        // What was read at the start may have changed since, so that the first look counts as a change.
        let mut last = None;
        loop {
            if let Some(events) = &events {
                // To watch what is watched changes nothing; the directory may be another one now.
                let _not_there = events.watch(directory);
            }
            let now = stamp(file);
            if last != Some(now) {
                last = Some(now);
                let read = match (self.read)() {
                    // Who follows a link while it is turned may look into the directory that is removed.
                    Err(_maybe_gone) => {
                        sleep(SETTLE).await;
                        (self.read)()
                    }
                    read => read,
                };
                match read {
                    Ok(settings) => self.take(settings),
                    Err(error) => self.refuse(&error),
                }
            }
            match &events {
                Some(events) => {
                    if timeout(AGAIN, events.next(|_any| true)).await.is_ok() {
                        sleep(SETTLE).await;
                    }
                }
                None => sleep(AGAIN).await,
            }
        }
    }

    /// What is wrong changes nothing.
    fn refuse(&mut self, error: &SettingsError) {
        warn!(
            "the configuration was changed and cannot be used, so what held before goes on: {}",
            error.problems.join("; ")
        );
        self.stale = true;
        self.metrics.configured(false);
    }

    /// Hands on what differs from what holds.
    fn take(&mut self, settings: Settings) {
        if self.stale {
            self.stale = false;
            info!("the configuration can be used again");
        }
        self.metrics.configured(true);
        for (now, before) in settings.told.iter().zip(&self.told) {
            if now.value != before.value && now.takes_a_restart {
                warn!(
                    "{} was changed from {} to {}, which takes a restart",
                    now.key, before.value, now.value
                );
            }
        }
        self.told = settings.told;
        let changed = self.wishes.send_if_modified(|wishes| {
            let now = settings.wishes.keeping(wishes);
            let differs = **wishes != now;
            if differs {
                *wishes = Arc::new(now);
            }
            differs
        });
        if changed {
            info!("the configuration was changed, and is followed");
        }
    }
}

/// Which file a path leads to, and when it was last written to. None: to none.
fn stamp(file: &Path) -> Option<[i128; 5]> {
    let found = fs::metadata(file).ok()?;
    Some([
        found.dev().into(),
        found.ino().into(),
        found.size().into(),
        found.ctime().into(),
        found.ctime_nsec().into(),
    ])
}
