//! One container gets one answer, whatever the number of its resources.
//!
//! The rules are those of `deviceRunContainerOptions` in the kubelet's device manager: keys
//! are the name of a variable or annotation and the container path of a node or mount, the
//! first value wins, a different second one is only logged, CDI names are de-duplicated.

use std::{collections::BTreeMap, fmt};

use kubelet_api::deviceplugin::v1beta1::ContainerAllocateResponse;

/// What plugins want to have in a container.
///
/// `Display` prints one line an entry, in a fixed order: good for golden files.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ContainerAnswer {
    /// Environment variables.
    pub envs: BTreeMap<String, String>,
    /// Device nodes, in the order of the answers.
    pub devices: Vec<AnswerDevice>,
    /// Mounts, in the order of the answers.
    pub mounts: Vec<AnswerMount>,
    /// Annotations for the container runtime.
    pub annotations: BTreeMap<String, String>,
    /// Fully qualified CDI device names, in the order of the answers.
    pub cdi_devices: Vec<String>,
}

/// A device node of the host that appears in the container.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AnswerDevice {
    /// Where it appears in the container.
    pub container_path: String,
    /// Where it is on the host.
    pub host_path: String,
    /// Rights for the devices cgroup: some of `r`, `w`, `m`.
    pub permissions: String,
}

/// A file or directory of the host that appears in the container.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AnswerMount {
    /// Where it appears in the container.
    pub container_path: String,
    /// Where it is on the host.
    pub host_path: String,
    /// Whether the container may only read.
    pub read_only: bool,
}

/// Two answers for one container that do not agree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// What they do not agree about.
    pub kind: ConflictKind,
    /// The variable, the annotation or the path in the container.
    pub key: String,
    /// The value that the container gets. It came first.
    pub kept: String,
    /// The value that the container does not get.
    pub dropped: String,
    /// The resource whose value was dropped.
    pub resource: String,
}

/// What a [`Conflict`] is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConflictKind {
    /// An environment variable.
    Env,
    /// An annotation.
    Annotation,
    /// A device node. The values are host paths.
    Device,
    /// A mount. The values are host paths.
    Mount,
}

impl ContainerAnswer {
    /// Adds the answer for `resource`. Returns what was dropped.
    pub(super) fn merge(&mut self, resource: &str, other: Self) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        let mut differ = |kind, key: &str, kept: &str, dropped: &str| {
            if kept != dropped {
                conflicts.push(Conflict {
                    kind,
                    key: key.to_owned(),
                    kept: kept.to_owned(),
                    dropped: dropped.to_owned(),
                    resource: resource.to_owned(),
                });
            }
        };
        for (kind, into, from) in [
            (ConflictKind::Env, &mut self.envs, other.envs),
            (
                ConflictKind::Annotation,
                &mut self.annotations,
                other.annotations,
            ),
        ] {
            for (key, value) in from {
                match into.get(&key) {
                    Some(kept) => differ(kind, &key, kept, &value),
                    None => drop(into.insert(key, value)),
                }
            }
        }
        for device in other.devices {
            let path = &device.container_path;
            match self
                .devices
                .iter()
                .find(|kept| kept.container_path == *path)
            {
                Some(kept) => differ(
                    ConflictKind::Device,
                    path,
                    &kept.host_path,
                    &device.host_path,
                ),
                None => self.devices.push(device),
            }
        }
        for mount in other.mounts {
            let path = &mount.container_path;
            match self.mounts.iter().find(|kept| kept.container_path == *path) {
                Some(kept) => differ(ConflictKind::Mount, path, &kept.host_path, &mount.host_path),
                None => self.mounts.push(mount),
            }
        }
        for name in other.cdi_devices {
            if !self.cdi_devices.contains(&name) {
                self.cdi_devices.push(name);
            }
        }
        conflicts
    }
}

impl From<ContainerAllocateResponse> for ContainerAnswer {
    fn from(response: ContainerAllocateResponse) -> Self {
        Self {
            envs: response.envs,
            devices: response
                .devices
                .into_iter()
                .map(|device| AnswerDevice {
                    container_path: device.container_path,
                    host_path: device.host_path,
                    permissions: device.permissions,
                })
                .collect(),
            mounts: response
                .mounts
                .into_iter()
                .map(|mount| AnswerMount {
                    container_path: mount.container_path,
                    host_path: mount.host_path,
                    read_only: mount.read_only,
                })
                .collect(),
            annotations: response.annotations,
            cdi_devices: response
                .cdi_devices
                .into_iter()
                .map(|cdi| cdi.name)
                .collect(),
        }
    }
}

impl fmt::Display for ContainerAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.envs {
            writeln!(f, "env {name}={value}")?;
        }
        for device in &self.devices {
            let AnswerDevice {
                container_path,
                host_path,
                permissions,
            } = device;
            writeln!(f, "device {host_path} -> {container_path} {permissions}")?;
        }
        for mount in &self.mounts {
            let mode = if mount.read_only { "ro" } else { "rw" };
            writeln!(
                f,
                "mount {} -> {} {mode}",
                mount.host_path, mount.container_path
            )?;
        }
        for (name, value) in &self.annotations {
            writeln!(f, "annotation {name}={value}")?;
        }
        for name in &self.cdi_devices {
            writeln!(f, "cdi {name}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            key,
            kept,
            dropped,
            resource,
        } = self;
        let kind = match kind {
            ConflictKind::Env => "variable",
            ConflictKind::Annotation => "annotation",
            ConflictKind::Device => "device node",
            ConflictKind::Mount => "mount",
        };
        write!(
            f,
            "{kind} {key} is {kept}, {dropped} from {resource} is lost"
        )
    }
}
