//! The directories that a reactor watches for writes of others.
//!
//! A directory is watched before its files are in it, and while there is a watch, files are made
//! elsewhere and moved to their place. So whatever is seen to be written was written by others.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard, PoisonError},
};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};

use super::super::{Machine, SimError};
use super::{Tree, paths, pipes::Pipes};

/// Watched directories, by inotify's number and by path below `/sys`.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Arc<OwnedFd>,
    paths: BTreeMap<i32, PathBuf>,
    numbers: BTreeMap<PathBuf, i32>,
    pub(super) pipes: Pipes,
}

fn failed(path: &Path) -> impl FnOnce(Errno) -> SimError {
    move |errno| SimError::Io {
        operation: "watch",
        path: path.to_owned(),
        source: errno.into(),
    }
}

impl Watch {
    /// Watches a file besides its directory. inotify makes one of two equal events in a row; of
    /// two writers to one file, each so has an event of the directory's to itself.
    pub(super) fn twice(&self, path: &Path) -> Result<(), SimError> {
        let number = inotify::add_watch(&*self.inotify, path, WatchFlags::CLOSE_WRITE);
        number.map(drop).map_err(failed(path))
    }
}

impl Tree {
    /// Begins to watch every directory that has attributes. The queue does not block.
    pub(in super::super) fn start_watch(
        &self,
        machine: &Machine,
    ) -> Result<Arc<OwnedFd>, SimError> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        let inotify = Arc::new(inotify.map_err(failed(self.root()))?);
        *self.watch() = Some(Watch {
            inotify: Arc::clone(&inotify),
            paths: BTreeMap::new(),
            numbers: BTreeMap::new(),
            pipes: Pipes::default(),
        });
        self.watch_dir(Path::new("bus/pci"))?;
        let drivers = self.directories_in(Path::new("bus/pci/drivers"))?;
        for driver in &drivers {
            self.watch_dir(driver)?;
        }
        self.open_pipes(&drivers)?;
        for address in machine.functions.keys() {
            let dir = paths::device_dir(machine, *address);
            self.watch_dir(&dir)?;
            for below in self.directories_in(&dir)? {
                self.watch_dir(&below)?;
            }
        }
        Ok(inotify)
    }

    /// Ends that.
    pub(in super::super) fn stop_watch(&self) -> Result<(), SimError> {
        let watch = self.watch().take();
        watch.map_or(Ok(()), |watch| self.close_pipes(watch.pipes))
    }

    /// Watches a directory below `/sys` if any is watched.
    pub(super) fn watch_dir(&self, dir: &Path) -> Result<(), SimError> {
        let mut watch = self.watch();
        let Some(watch) = &mut *watch else {
            return Ok(());
        };
        let path = self.sys(dir);
        let interest = WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR;
        let number = inotify::add_watch(&*watch.inotify, &path, interest);
        let number = number.map_err(failed(&path))?;
        watch.paths.insert(number, dir.to_owned());
        watch.numbers.insert(dir.to_owned(), number);
        Ok(())
    }

    /// The directory of an event; nothing if another one is in its place by now.
    pub(in super::super) fn watched(&self, number: i32) -> Option<PathBuf> {
        let watch = self.watch();
        let watch = watch.as_ref()?;
        let path = watch.paths.get(&number)?;
        (watch.numbers.get(path) == Some(&number)).then(|| path.clone())
    }

    /// All of them.
    pub(in super::super) fn all_watched(&self) -> Vec<PathBuf> {
        let watch = self.watch();
        let watch = watch.as_ref();
        watch.map_or_else(Vec::new, |watch| watch.numbers.keys().cloned().collect())
    }

    /// Forgets a directory that is gone.
    pub(in super::super) fn unwatched(&self, number: i32) {
        if let Some(watch) = &mut *self.watch()
            && let Some(path) = watch.paths.remove(&number)
            && watch.numbers.get(&path) == Some(&number)
        {
            watch.numbers.remove(&path);
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watch().is_some()
    }

    pub(super) fn watch(&self) -> MutexGuard<'_, Option<Watch>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The real directories in one below `/sys`.
    fn directories_in(&self, dir: &Path) -> Result<Vec<PathBuf>, SimError> {
        let path = self.sys(dir);
        let read = || {
            let mut found = Vec::new();
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    found.push(dir.join(entry.file_name()));
                }
            }
            Ok(found)
        };
        read().map_err(|source| SimError::Io {
            operation: "list",
            path: path.clone(),
            source,
        })
    }
}
