//! What a container needs to use its devices.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// What a container needs to use the devices that it is given.
///
/// The kubelet remembers the answer, and uses it again whenever the container restarts.
/// When several resources of one container set the same variable, the first answer wins, in
/// no order that could be relied upon.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ContainerEdits {
    /// Environment variables.
    pub envs: BTreeMap<String, String>,
    /// Files and directories of the host.
    pub mounts: Vec<Mount>,
    /// Device nodes of the host.
    pub devices: Vec<DeviceNode>,
    /// Annotations for the container runtime.
    pub annotations: BTreeMap<String, String>,
    /// Fully qualified names of CDI devices, `vendor.example/class=device` (KEP-4009).
    pub cdi_devices: Vec<String>,
}

/// A device node of the host that appears in the container.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct DeviceNode {
    /// Where the container sees it.
    pub container_path: PathBuf,
    /// Where it is on the host.
    pub host_path: PathBuf,
    /// Any of `r` (read), `w` (write) and `m` (mknod).
    pub permissions: String,
}

impl DeviceNode {
    /// Returns a node that is at the same path in the container, to be read and written.
    pub fn rw(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            container_path: path.clone(),
            host_path: path,
            permissions: "rw".to_owned(),
        }
    }
}

/// A file or directory of the host that appears in the container.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Where the container sees it.
    pub container_path: PathBuf,
    /// Where it is on the host.
    pub host_path: PathBuf,
    /// The container may not write to it.
    pub read_only: bool,
}
