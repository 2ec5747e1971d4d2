//! Watches the directory of the sockets.

use crate::{dir_events::DirEvents, kubelet_dir::KubeletDir};
use rustix::io::Errno;
use std::{path::Path, time::Duration};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// How often to look again while inotify watches, in case that it lost something.
const SLOW: Duration = Duration::from_secs(3);
/// How often to look while there is nothing that could be watched.
const FAST: Duration = Duration::from_millis(200);

/// Says that the directory should be looked at again. The number has no meaning, but changes.
pub(crate) type Ticks = watch::Receiver<u64>;

/// Ticks whenever something in the directory may have changed, for ever.
///
/// This says nothing about what changed. Whoever is interested looks, which is cheap, and
/// finds the truth even where events were lost.
pub(crate) async fn watch_directory(dir: KubeletDir, ticks: watch::Sender<u64>) {
    let events = match DirEvents::new() {
        Ok(events) => Some(events),
        Err(error) => {
            tracing::warn!(%error, "no inotify; looking at the directory every {FAST:?} instead");
            None
        }
    };
    let mut problem = None;
    loop {
        // Watching twice is watching once. A directory that was made anew needs it again.
        let watching = events
            .as_ref()
            .map_or(Err(Errno::NOSYS), |events| watch_names(events, dir.path()));
        // After the watch is there: what happened before it is to be seen now.
        ticks.send_modify(|tick| *tick = tick.wrapping_add(1));
        match (&events, watching) {
            (Some(events), Ok(())) => {
                problem = None;
                if let Ok(Err(error)) = timeout(SLOW, events.next(is_socket)).await {
                    tracing::debug!(%error, "cannot read inotify events");
                    sleep(FAST).await;
                }
            }
            (_, result) => {
                if let Err(errno) = result
                    && problem.replace(errno) != Some(errno)
                {
                    tell(dir.path(), errno);
                }
                sleep(FAST).await;
            }
        }
    }
}

fn watch_names(events: &DirEvents, path: &Path) -> Result<(), Errno> {
    let watching = events.watch(path);
    watching.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Says once why the directory cannot be watched.
fn tell(path: &Path, errno: Errno) {
    let path = path.display();
    if errno == Errno::NOENT {
        tracing::info!(%path, "waiting for the directory of the kubelet's sockets");
    } else if errno != Errno::NOSYS {
        tracing::warn!(%path, error = %errno, "cannot watch the directory; looking every {FAST:?}");
    }
}

/// Whether a name is that of a socket. The kubelet writes a checkpoint beside them at each change.
fn is_socket(name: Option<&[u8]>) -> bool {
    name.is_none_or(|name| name.ends_with(b".sock"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::tempdir;
    use tokio::task::JoinSet;

    /// Ticks come from a poll too, so this only counts what comes well before one.
    async fn tick(ticks: &mut Ticks) {
        timeout(SLOW / 2, ticks.changed())
            .await
            .expect("a tick")
            .unwrap();
    }

    /// Waits until the directory is quiet, so that the next tick is for what comes next.
    async fn settle(ticks: &mut Ticks) {
        tick(ticks).await;
        while timeout(FAST, ticks.changed()).await.is_ok() {}
    }

    #[tokio::test]
    async fn sockets_tick_and_checkpoints_do_not() {
        let dir = tempdir().unwrap();
        let (sender, mut ticks) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_directory(KubeletDir::new(dir.path()), sender));
        settle(&mut ticks).await;

        fs::write(dir.path().join("checkpoint"), "").unwrap();
        assert!(timeout(FAST, ticks.changed()).await.is_err());
        let socket = dir.path().join("kubelet.sock");
        fs::write(&socket, "").unwrap();
        tick(&mut ticks).await;
        fs::remove_file(&socket).unwrap();
        tick(&mut ticks).await;
    }

    #[tokio::test]
    async fn a_directory_that_comes_late_or_anew_is_watched() {
        let parent = tempdir().unwrap();
        let path = parent.path().join("device-plugins");
        let (sender, mut ticks) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_directory(KubeletDir::new(&path), sender));
        for _ in 0..2 {
            tick(&mut ticks).await;
            fs::create_dir(&path).unwrap();
            settle(&mut ticks).await;
            fs::write(path.join("a.sock"), "").unwrap();
            tick(&mut ticks).await;
            fs::remove_dir_all(&path).unwrap();
        }
    }
}
