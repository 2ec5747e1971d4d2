//! What can go wrong with one attribute, and with a whole scan.

use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use crate::text::{ParseError, shown};

/// The kernel's answer to a system call that failed.
///
/// It is what [`std::io::Error`] would hold, in a form that can be copied and compared, so that
/// two snapshots with the same failure are equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[error("{}", IoError::from_raw_os_error(*.0))]
pub struct OsError(i32);

/// Why an attribute or a link could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AttrError {
    /// There is no such attribute (`ENOENT`): its device is gone, or this kernel or this kind of
    /// device does not have it.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// The attribute.
        path: PathBuf,
    },
    /// The device was removed between opening and reading the attribute (`ENODEV`).
    #[error("the device of `{}` was removed while it was read", path.display())]
    Vanished {
        /// The attribute.
        path: PathBuf,
    },
    /// The kernel refused to open, read or list.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The attribute, link or directory.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: OsError,
    },
    /// The content is not UTF-8. The kernel writes ASCII only.
    #[error("`{}` does not hold text", path.display())]
    NotText {
        /// The attribute or link.
        path: PathBuf,
    },
    /// The content is text of another form.
    #[error("`{}` holds `{value}`, which is not {expected}", path.display())]
    Invalid {
        /// The attribute or link.
        path: PathBuf,
        /// The content, control characters escaped, cut after 80 characters.
        value: String,
        /// What would have been accepted.
        expected: &'static str,
    },
}

/// Why a scan found nothing at all.
///
/// Everything that concerns a single function is in the snapshot instead.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The list of PCI functions cannot be read, so this is not a sysfs with a PCI bus.
    #[error(
        "cannot list the PCI functions in `{}`; check that the sysfs root is right, \
         that all of sysfs is mounted there and that the machine has a PCI bus",
        path.display()
    )]
    NoPciBus {
        /// The directory: `bus/pci/devices` below the root.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: OsError,
    },
}

// === impl OsError ===

impl OsError {
    /// The error number, as in `errno(3)`.
    pub fn raw(self) -> i32 {
        self.0
    }

    /// The kind that the standard library sees in it.
    pub fn kind(self) -> ErrorKind {
        IoError::from(self).kind()
    }
}

impl From<Errno> for OsError {
    fn from(errno: Errno) -> Self {
        Self(errno.raw_os_error())
    }
}

impl From<OsError> for IoError {
    fn from(error: OsError) -> Self {
        Self::from_raw_os_error(error.0)
    }
}

// === impl AttrError ===

impl AttrError {
    /// Whether the attribute is not there (any more): `ENOENT` or `ENODEV`.
    ///
    /// For an attribute that every function has, this means that the function was unplugged.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Vanished { .. })
    }

    /// The attribute, link or directory that was to be read.
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path }
            | Self::Vanished { path }
            | Self::Read { path, .. }
            | Self::NotText { path }
            | Self::Invalid { path, .. } => path,
        }
    }

    /// A content that is text, but not what was expected there.
    ///
    /// For readers of attributes that this crate has no function for.
    #[must_use]
    pub fn invalid(path: &Path, value: &str, expected: &'static str) -> Self {
        Self::Invalid {
            path: path.to_owned(),
            value: shown(value),
            expected,
        }
    }

    /// The error for an answer of the kernel to a read, as in `errno(3)`: for those who have it made by
    /// another process.
    #[must_use]
    pub fn answered(path: &Path, errno: i32) -> Self {
        Self::refused(path, Errno::from_raw_os_error(errno))
    }

    /// What the kernel answered, as in `errno(3)`; `None` if it did and the content was wrong.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::NotText { .. } | Self::Invalid { .. } => None,
            _ => Some(self.os_error().raw()),
        }
    }

    pub(crate) fn unparsed(path: &Path, error: ParseError) -> Self {
        Self::Invalid {
            path: path.to_owned(),
            value: error.value,
            expected: error.expected,
        }
    }

    pub(crate) fn refused(path: &Path, errno: Errno) -> Self {
        let path = path.to_owned();
        match errno {
            Errno::NOENT => Self::Missing { path },
            Errno::NODEV => Self::Vanished { path },
            other => Self::Read {
                path,
                source: other.into(),
            },
        }
    }

    /// The kernel's answer behind this error, for errors that come from it.
    pub(crate) fn os_error(&self) -> OsError {
        match self {
            Self::Missing { .. } => Errno::NOENT.into(),
            Self::Vanished { .. } => Errno::NODEV.into(),
            Self::Read { source, .. } => *source,
            Self::NotText { .. } | Self::Invalid { .. } => Errno::INVAL.into(),
        }
    }
}
