//! Leaving a node for good.

use std::fs::{self, TryLockError};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use device_plugin::cdi::{DirError, SpecDir};
use thiserror::Error;

use crate::cdi_files::WRITER;
use crate::lock::lock;
use crate::{RESOURCE_DOMAIN, Roots, memory, pulse};

/// Files of a plugin in its state directory. Records of provisioning are not among them: they are the way back.
const FILES: [&str; 3] = [memory::FILE, pulse::LOCK, memory::LOCK];

/// Why what a plugin has left cannot be removed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// A plugin serves this node.
    #[error("a plugin serves this node (it has `{}`); stop it first", path.display())]
    Served {
        /// What it has: a lock, or a socket at which it answers.
        path: PathBuf,
    },
    /// A file cannot be removed or looked at.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory of CDI files cannot be cleaned.
    #[error(transparent)]
    Cdi(#[from] DirError),
}

/// Removes what a plugin that has ended has left on a node, or says what it would remove: sockets at which nobody answers, CDI files
/// that a plugin of ours has written, its file of labels if that is named, and its state. Directories of state that are empty then go too.
///
/// While a plugin runs these files are its own, and when it starts anew they are of use: CDI files to containers that start again,
/// the state to itself. So this is for nodes that no plugin comes back to.
///
/// # Errors
///
/// [`LeaveError::Served`] before anything is removed; otherwise the first file that cannot be.
pub fn leave(
    roots: &Roots,
    state_dir: &Path,
    labels: Option<&Path>,
    dry_run: bool,
) -> Result<Vec<PathBuf>, LeaveError> {
    let held = is_served(state_dir)?;
    let mut gone = sockets(roots.kubelet.path())?;
    let cdi = SpecDir::new(&roots.cdi, WRITER);
    let files = FILES.map(|name| state_dir.join(name));
    let files = files.into_iter().chain(labels.map(Path::to_owned));
    let files: Vec<PathBuf> = files.filter(|path| path.exists()).collect();
    if dry_run {
        gone.extend(cdi.written()?);
        gone.extend(files);
        return Ok(gone);
    }
    for path in &gone {
        remove(path)?;
    }
    gone.extend(cdi.retain(&[])?);
    for path in files {
        remove(&path)?;
        gone.push(path);
    }
    drop(held);
    // What is not empty has records or locks of provisioning.
    for entry in fs::read_dir(state_dir).into_iter().flatten().flatten() {
        let _not_empty = fs::remove_dir(entry.path());
    }
    if fs::remove_dir(state_dir).is_ok() {
        gone.push(state_dir.to_owned());
    }
    Ok(gone)
}

/// Takes the lock of the plugin that serves a node. Where there is no file nobody has it.
fn is_served(state_dir: &Path) -> Result<Option<fs::File>, LeaveError> {
    let path = state_dir.join(memory::LOCK);
    if !path.exists() {
        return Ok(None);
    }
    match lock(&path) {
        Ok(held) => Ok(Some(held)),
        Err(TryLockError::WouldBlock) => Err(LeaveError::Served { path }),
        Err(TryLockError::Error(source)) => Err(LeaveError::Io {
            action: "lock",
            path,
            source,
        }),
    }
}

/// The sockets of our resources, at which nobody may answer.
fn sockets(directory: &Path) -> Result<Vec<PathBuf>, LeaveError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(LeaveError::Io {
                action: "read",
                path: directory.to_owned(),
                source,
            });
        }
    };
    let names = entries.flatten().map(|entry| entry.path());
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{RESOURCE_DOMAIN}-")) && name.ends_with(".sock")
    };
    let mut sockets: Vec<PathBuf> = names.filter(ours).collect();
    sockets.sort();
    match sockets
        .iter()
        .find(|path| UnixStream::connect(path).is_ok())
    {
        Some(path) => Err(LeaveError::Served { path: path.clone() }),
        None => Ok(sockets),
    }
}

fn remove(path: &Path) -> Result<(), LeaveError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(LeaveError::Io {
            action: "remove",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}
