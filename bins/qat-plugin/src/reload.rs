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
use qat_node::config::{ConfigStatus, RefusedConfig};
use qat_node::memory::Clock;
use qat_node::{Metrics, Wishes};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::settings::{Settings, SettingsError, Told};

/// How often to look where nothing says that something changed, or what says so may have missed it.
const AGAIN: Duration = Duration::from_mins(1);

/// A file that is written in place is not whole at once.
const SETTLE: Duration = Duration::from_millis(50);

/// What a new reading is compared with.
pub(crate) struct Reload<'a> {
    /// Reads everything again.
    pub(crate) read: &'a (dyn Fn() -> Result<Settings, SettingsError> + 'a),
    /// The values that the daemon started with.
    pub(crate) started: Vec<Told>,
    /// The values of the last version that was applied.
    pub(crate) told: Vec<Told>,
    /// What is in force, and the version of the file that it is from.
    pub(crate) wishes: watch::Sender<Arc<Wishes>>,
    /// Counts reloads.
    pub(crate) metrics: Arc<Metrics>,
}

impl Reload<'_> {
    /// Follows the file for ever.
    pub(crate) async fn follow(mut self, file: &Path) {
        if let Some(status) = &self.wishes.borrow().file {
            self.metrics.config(status);
        }
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

    /// Keeps what is in force, and publishes that the newest version was refused.
    fn refuse(&mut self, error: &SettingsError) {
        let text = error.problems.join("; ");
        warn!("invalid configuration; keeping the previous one: {text}");
        self.metrics.configured(false);
        let wishes = Wishes::clone(&self.wishes.borrow());
        let Some(mut status) = wishes.file.clone() else {
            return;
        };
        let before = status.refused.take();
        let refused = RefusedConfig {
            sha256: error.sha256.clone(),
            since: unix_now(),
            error: text,
        };
        status.refused = Some(match before {
            Some(before) if before.sha256 == refused.sha256 && before.error == refused.error => {
                before
            }
            _ => refused,
        });
        self.publish(wishes, status);
    }

    /// Applies a version that can be used.
    fn take(&mut self, settings: Settings) {
        let wishes = Arc::clone(&self.wishes.borrow());
        let before = wishes.file.as_ref();
        if before.is_some_and(|status| status.refused.is_some()) {
            info!("configuration is valid again");
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
        let status = status(&settings, &self.started).map(|status| match before {
            Some(before) if before.sha256 == status.sha256 => ConfigStatus {
                since: before.since,
                ..status
            },
            _ => status,
        });
        self.told = settings.told;
        let now = Wishes {
            file: wishes.file.clone(),
            ..settings.wishes.keeping(&wishes)
        };
        if now != *wishes {
            info!("the configuration was changed, and is followed");
        }
        if let Some(status) = status {
            self.publish(now, status);
        }
    }

    /// Hands settings and the version that they are from to the node in one piece.
    fn publish(&self, wishes: Wishes, status: ConfigStatus) {
        self.metrics.config(&status);
        let wishes = Wishes {
            file: Some(status),
            ..wishes
        };
        self.wishes.send_if_modified(|before| {
            let differs = **before != wishes;
            if differs {
                *before = Arc::new(wishes);
            }
            differs
        });
    }
}

/// What `state.json` reports of settings from a file. `started` holds the values that the daemon started with.
pub(crate) fn status(settings: &Settings, started: &[Told]) -> Option<ConfigStatus> {
    let selected = settings.wishes.pools.selected().iter();
    let pairs = settings.told.iter().zip(started);
    let pending = pairs.filter(|(now, start)| now.takes_a_restart && now.value != start.value);
    Some(ConfigStatus {
        path: settings.file.clone()?,
        sha256: settings.sha256.clone()?,
        since: unix_now(),
        selected: selected.map(|(_, pool)| pool.clone()).collect(),
        restart_required: pending.map(|(now, _)| now.key.to_owned()).collect(),
        refused: None,
    })
}

/// Seconds since the epoch.
fn unix_now() -> u64 {
    Clock::now().unix(Instant::now())
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
