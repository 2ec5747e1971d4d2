//! Reading a file that somebody else wrote.

use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The most that a configuration may have. A `ConfigMap` has at most 1 MiB.
const MOST: u64 = 1024 * 1024;

/// Why a file cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be opened or read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: IoError,
    },
    /// It is a directory, a device or a pipe.
    #[error("`{}` is no file", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// It is too large to be one.
    #[error("`{}` has more than 1 MiB, so it is no configuration", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not UTF-8.
    #[error("`{}` does not hold text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == ErrorKind::NotFound)
    }
}

/// Reads a file, links followed, as those of a `ConfigMap` are links.
pub(super) fn read(path: &Path) -> Result<String, FileError> {
    let failed = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    // To open a pipe would wait for whoever writes to it.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(FileError::NoFile {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MOST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST) {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
        });
    }
    String::from_utf8(bytes).map_err(|_not_utf8| FileError::NotText {
        path: path.to_owned(),
    })
}
