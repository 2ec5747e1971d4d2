//! A node in a file: what there is to see of it, to be looked at elsewhere.
//!
//! An [`Archive`] holds the entries of sysfs, debugfs, `/proc` and `/dev` that this crate and `qat-inspect` read, and the
//! plugin's `state.json`. It is JSON, so that who attaches it to a report can read what it says before. [`Archive::unpack`]
//! makes trees of it, and whatever can look at a machine can look at those: the roots are injected everywhere.
//!
//! # What is not in it
//!
//! Nothing that reading could disturb or that could block: no heartbeat check, no `driver_override`, no `uevent`, no
//! `sriov_numvfs`, no configuration space. Of the kernel's command line only what concerns IOMMU, VFIO, PCI and QAT. Of
//! processes only name and limits of container runtimes. No environment, no files of pods, no logs.
//!
//! # An archive from a stranger
//!
//! Whoever unpacks one trusts nobody: names are relative and have no `..`, links lead down to something in the same tree,
//! nothing is written through a link, and there is a bound for everything. A device node becomes a link to `/dev/null`, and its
//! numbers in sysfs those of `/dev/null`, so that checks of nodes say what they said on the machine.

mod collect;
mod unpack;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::unpack::Unpacked;

/// The version of the form.
const VERSION: u32 = 1;

/// No archive is longer.
const LONGEST: u64 = 64 << 20;

/// A node in a file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// The version of the form: 1.
    pub version: u32,
    /// The program that has made it.
    pub by: String,
    /// When, in seconds since the epoch.
    pub taken: u64,
    /// What was there, by path: `sys/…`, `proc/…`, `dev/…`, `state/…`.
    pub entries: BTreeMap<String, Entry>,
    /// What was there and could not be read, and why.
    pub unread: BTreeMap<String, String>,
}

/// Something at a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Entry {
    /// A directory.
    Dir,
    /// A file of text.
    Text(String),
    /// A link, and where it leads.
    Link(String),
    /// A character device: major and minor number.
    Node(u32, u32),
}

/// Why an archive cannot be written, read or unpacked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A call of the system failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no archive, or only a part of one.
    #[error("`{}` is no snapshot of a node, or not all of it", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// It is longer than any archive.
    #[error("`{}` is longer than {} MiB, which no snapshot is", path.display(), LONGEST >> 20)]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Another version of the program has written it.
    #[error(
        "the snapshot has version {found}, and this program reads version {VERSION}; use the qat-inspect that has made it"
    )]
    Version {
        /// Its version.
        found: u32,
    },
    /// An entry is none that a snapshot of ours has, and might do harm.
    #[error("the snapshot is not one of ours: entry `{entry}` {problem}; nothing of it is used")]
    Unsafe {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Archive {
    /// Writes it to a file.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), ArchiveError> {
        let failed = |source| ArchiveError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        };
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        fs::write(path, text + "\n").map_err(failed)
    }

    /// Reads one from a file.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`], when it cannot be read, is none, or is of another version.
    pub fn read(path: &Path) -> Result<Self, ArchiveError> {
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text));
        if let Err(source) = read {
            return Err(ArchiveError::Io {
                action: "read",
                path: path.to_owned(),
                source,
            });
        }
        let path = path.to_owned();
        if text.len() as u64 > LONGEST {
            return Err(ArchiveError::TooLong { path });
        }
        let archive: Self = match serde_json::from_slice(&text) {
            Ok(archive) => archive,
            Err(source) => return Err(ArchiveError::Invalid { path, source }),
        };
        if archive.version == VERSION {
            Ok(archive)
        } else {
            Err(ArchiveError::Version {
                found: archive.version,
            })
        }
    }
}
