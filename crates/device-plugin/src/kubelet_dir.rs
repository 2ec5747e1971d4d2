//! The directory in which the kubelet and its plugins meet.

use crate::resource_name::ResourceName;
use kubelet_api::deviceplugin::v1beta1::{DEFAULT_DIRECTORY, KUBELET_SOCKET};
use std::path::{Path, PathBuf};

/// The directory of `kubelet.sock`, in which the plugins put their own sockets.
///
/// By default `/var/lib/kubelet/device-plugins`. Distributions that give the kubelet another
/// root directory (k0s, `MicroK8s`) have it elsewhere. In a pod, mount the directory, never the
/// socket: a restarted kubelet makes a new one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KubeletDir(PathBuf);

impl KubeletDir {
    /// Takes the directory at `path`. It need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of the kubelet's own socket.
    pub fn kubelet_socket(&self) -> PathBuf {
        self.0.join(KUBELET_SOCKET)
    }

    /// Returns the path of the socket on which `resource` is served.
    pub fn plugin_socket(&self, resource: &ResourceName) -> PathBuf {
        self.0.join(resource.socket_name())
    }
}

impl Default for KubeletDir {
    fn default() -> Self {
        Self::new(DEFAULT_DIRECTORY)
    }
}
