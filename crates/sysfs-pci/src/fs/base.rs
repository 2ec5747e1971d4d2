//! Where relative paths start.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;

use crate::error::AttrError;
use crate::fs::{Entry, Open, entries, open};

/// Where a relative path starts. The functions of this module that take no base start in the
/// working directory.
///
/// The kernel walks a path from its start each time, and that is most of what a short read costs.
/// A scan reads many files below one directory, so it has that directory open as a base.
#[derive(Clone, Copy)]
pub(crate) struct Base<'a> {
    pub(super) fd: BorrowedFd<'a>,
    /// What errors put in front.
    path: &'a Path,
}

/// A directory that stays open, as a base. Dropping it costs one call.
pub(crate) struct Dir {
    file: Open,
    path: PathBuf,
}

// === impl Base ===

impl Base<'static> {
    pub(crate) fn cwd() -> Self {
        Self {
            fd: CWD,
            path: Path::new(""),
        }
    }
}

impl Base<'_> {
    /// The whole path, for errors.
    pub(crate) fn full(self, path: &Path) -> PathBuf {
        self.path.join(path)
    }

    pub(super) fn refused(self, path: &Path, errno: Errno) -> AttrError {
        AttrError::refused(&self.full(path), errno)
    }
}

// === impl Dir ===

impl Dir {
    /// Costs one call.
    pub(crate) fn open(path: PathBuf) -> Result<Self, AttrError> {
        match open(Base::cwd(), &path, OFlags::DIRECTORY) {
            Ok(file) => Ok(Self { file, path }),
            Err(errno) => Err(AttrError::refused(&path, errno)),
        }
    }

    pub(crate) fn base(&self) -> Base<'_> {
        Base {
            fd: self.file.as_fd(),
            path: &self.path,
        }
    }

    /// The entries, as [`super::list`] has them. To be asked once. Costs two calls or more.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, AttrError> {
        entries(&self.file).map_err(|errno| AttrError::refused(&self.path, errno))
    }
}
