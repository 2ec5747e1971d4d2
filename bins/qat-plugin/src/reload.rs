//! The configuration file, read anew when it changes.
//!
//! A `ConfigMap` in a pod is a directory: `config.yaml` is a link to `..data/config.yaml`, and `..data` a link that the kubelet turns to a
//! new directory (`AtomicWriter` in `pkg/volume/util`). So the directory of the file is watched, and what counts is whether the
//! file reads differently.

use std::fs;
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
}

impl Reload<'_> {
    /// Follows the file for ever.
    pub(crate) async fn follow(mut self, file: &Path) {
        let directory = file.parent().unwrap_or(file);
        let events = DirEvents::new().ok();
        // What was read at the start may have changed since, so that the first reading counts as one.
        let mut last: Option<Option<Vec<u8>>> = None;
        loop {
            if let Some(events) = &events {
                // To watch what is watched changes nothing; the directory may be another one now.
                let _not_there = events.watch(directory);
            }
            let now = fs::read(file).ok();
            if last.as_ref() != Some(&now) {
                last = Some(now);
                self.take();
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

    /// Reads everything anew. What is wrong changes nothing.
    fn take(&mut self) {
        let settings = match (self.read)() {
            Ok(settings) => settings,
            Err(error) => {
                warn!(
                    "the configuration was changed and cannot be used, so what held before goes on: {}",
                    error.problems.join("; ")
                );
                self.metrics.configured(false);
                return;
            }
        };
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
