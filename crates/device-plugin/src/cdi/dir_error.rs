//! Why a file cannot be written or removed.

use crate::resource_name::ResourceName;
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// Why the file of a resource cannot be written or removed. What was there before is still there,
/// whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirError {
    /// There is no such directory. It is not made: where it is not mounted into the plugin's
    /// container, no runtime would see the files in it.
    #[error(
        "CDI directory `{}` does not exist; mount it into the plugin's container with a `hostPath` \
         volume of type `DirectoryOrCreate`",
        path.display()
    )]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is on a file system that is mounted read-only.
    #[error(
        "CDI directory `{}` is read-only; mount it into the plugin's container without `readOnly`",
        path.display()
    )]
    ReadOnly {
        /// The directory.
        path: PathBuf,
    },
    /// There is no space, or no quota, left for the file.
    #[error("no space left in CDI directory `{}`; make room on its file system", path.display())]
    Full {
        /// The directory.
        path: PathBuf,
    },
    /// On the path of our file is something that we did not write. It is left alone.
    #[error(
        "`{}` was not written by this plugin and is left alone; move it away if nobody needs it",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file that we did not write describes the same resource. Both together would be a conflict
    /// for readers.
    #[error(
        "`{}` describes devices of `{kind}` already; only one plugin may do that, so remove \
         the file or rename the resource",
        path.display()
    )]
    Claimed {
        /// The file.
        path: PathBuf,
        /// The resource.
        kind: ResourceName,
    },
    /// Something else could not be done.
    #[error("cannot {operation} `{}`", path.display())]
    Io {
        /// What could not be done.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl DirError {
    /// What it means that `operation` on `path`, in the directory `dir`, failed with `source`.
    pub(super) fn new(operation: &'static str, dir: &Path, path: &Path, source: io::Error) -> Self {
        let dir = dir.to_owned();
        match source.kind() {
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path: dir },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { path: dir },
            _ => {
                let path = path.to_owned();
                Self::Io {
                    operation,
                    path,
                    source,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_the_kernel_says_is_told_in_terms_of_the_directory() {
        let (dir, file) = (Path::new("/cdi"), Path::new("/cdi/a"));
        let told = |errno: Errno| DirError::new("make", dir, file, errno.into()).to_string();
        assert!(told(Errno::ROFS).starts_with("CDI directory `/cdi` is read-only"));
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            assert!(told(errno).starts_with("no space left in CDI directory `/cdi`"));
        }
        assert_eq!(told(Errno::ACCESS), "cannot make `/cdi/a`");
    }
}
