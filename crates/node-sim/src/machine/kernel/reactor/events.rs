//! What inotify tells.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    mem::MaybeUninit,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::PathBuf,
};

use rustix::{
    fs::inotify::{ReadFlags, Reader},
    io::Errno,
};

use super::super::super::tree::Tree;

/// A file that was changed and closed, below `/sys`.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) path: PathBuf,
    /// False: events were lost, and it may not have been.
    pub(super) certain: bool,
}

/// Files that have been changed and not been closed yet, by directory.
#[derive(Debug, Default)]
pub(super) struct Events {
    changed: BTreeSet<(i32, OsString)>,
}

impl Events {
    /// Takes everything from the queue, in order.
    pub(super) fn take(&mut self, inotify: impl AsFd, tree: &Tree) -> Vec<Written> {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = Reader::new(inotify.as_fd(), &mut buffer);
        let mut written = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => return written,
            };
            let (flags, number) = (event.events(), event.wd());
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                self.changed.clear();
                written.extend(everything(tree));
            }
            if flags.contains(ReadFlags::IGNORED) {
                tree.unwatched(number);
                self.changed.retain(|(dir, _)| *dir != number);
            }
            let Some(name) = event.file_name() else {
                continue;
            };
            let key = (number, OsStr::from_bytes(name.to_bytes()).to_owned());
            if flags.contains(ReadFlags::MODIFY) {
                self.changed.insert(key);
            } else if flags.contains(ReadFlags::CLOSE_WRITE)
                && let Some(dir) = tree.watched(number)
            {
                let path = dir.join(&key.1);
                // Of several who have a pipe open, only the first to close it would count.
                if self.changed.remove(&key) || tree.is_pipe(&path) {
                    let certain = true;
                    written.push(Written { path, certain });
                }
            }
        }
    }
}

/// Every file that may have been written to, after the queue was full and events were lost.
fn everything(tree: &Tree) -> Vec<Written> {
    let mut files = Vec::new();
    for dir in tree.all_watched() {
        let Ok(entries) = fs::read_dir(tree.root().join("sys").join(&dir)) else {
            continue;
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        files.extend(names.map(|name| Written {
            path: dir.join(name),
            certain: false,
        }));
    }
    files
}
