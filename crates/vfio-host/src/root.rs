//! Where the host's device nodes are visible.

use std::path::{Path, PathBuf};

/// The directory where the host's `/dev` is visible to this process.
///
/// In a container the host's `/dev` may be mounted elsewhere. Nodes are looked at below this
/// directory and named as on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevRoot(PathBuf);

impl DevRoot {
    /// Takes a directory. Nothing is looked at.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path below the directory. `relative` has no `/` in front.
    pub(crate) fn join(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }
}

impl Default for DevRoot {
    fn default() -> Self {
        Self::new("/dev")
    }
}
