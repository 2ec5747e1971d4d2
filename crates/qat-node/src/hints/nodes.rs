//! The nodes of VFIO.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use device_plugin::DirEvents;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::{Heard, Scope};

/// How often to see whether the directories are still the same ones.
const AGAIN: Duration = Duration::from_mins(1);

/// Hints for ever, when a node comes or goes. Without inotify there are none, which is said once.
pub(super) async fn listen(dev: PathBuf, heard: Arc<Heard>) {
    let events = loop {
        match DirEvents::new() {
            Ok(events) => break events,
            Err(error) => {
                warn!(
                    "nodes in /dev/vfio cannot be watched, so changes are found by looking: {error}"
                );
                sleep(AGAIN).await;
            }
        }
    };
    let vfio = dev.join("vfio");
    loop {
        // To watch what is watched changes nothing. The directories come and go with the nodes in them.
        if events.watch(&vfio).is_err() {
            let _not_there_either = events.watch(&dev);
        }
        let _none_yet = events.watch(&vfio.join("devices"));
        let told = Mutex::new(Scope::default());
        let named = |name: Option<&[u8]>| {
            let name = name.and_then(|name| str::from_utf8(name).ok());
            let group = name.and_then(|name| name.parse().ok());
            let scope = group.map_or_else(Scope::everything, Scope::group);
            told.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add(scope);
            true
        };
        match timeout(AGAIN, events.next(named)).await {
            Ok(Ok(())) => {
                heard.hint(told.into_inner().unwrap_or_else(PoisonError::into_inner));
            }
            Ok(Err(error)) => {
                debug!(%error, "cannot read inotify events");
                sleep(AGAIN).await;
            }
            Err(_elapsed) => {}
        }
    }
}
