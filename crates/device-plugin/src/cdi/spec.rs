//! What one file says.

use super::{
    json,
    name::{check_device, check_kind},
    spec_error::SpecError,
};
use crate::{
    device::DeviceId,
    edits::{DeviceNode, Mount},
    resource_name::ResourceName,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
    path::Path,
};

/// A device node, and whose it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Node {
    /// The node.
    pub node: DeviceNode,
    /// Whose it is in the container.
    pub owner: Owner,
}

/// Whose a node is in the container, and what they may do.
///
/// What is not set is up to the runtime. CDI's own code takes user and group of the container's
/// process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Owner {
    /// The user ID.
    pub uid: Option<u32>,
    /// The group ID.
    pub gid: Option<u32>,
    /// The mode, at most 0o777.
    pub mode: Option<u32>,
}

/// One device, and what a container gets with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Its name.
    pub id: DeviceId,
    /// Its node. Kata plugs each node of a device, so there is one.
    pub node: Node,
    /// Environment variables. Where two devices of one container set the same, one value wins.
    pub envs: BTreeMap<String, String>,
    /// Files and directories of the host.
    pub mounts: Vec<Mount>,
}

/// What a container gets once, with the first of its devices of this kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shared {
    /// Device nodes, such as one through which all devices are set up.
    pub nodes: Vec<Node>,
    /// Environment variables.
    pub envs: BTreeMap<String, String>,
    /// Files and directories of the host.
    pub mounts: Vec<Mount>,
    /// Groups that the container's process joins. Readers need CDI 0.7.0 for them.
    pub additional_gids: BTreeSet<u32>,
}

/// What the file of one resource says. It is valid: readers take it.
///
/// Its text is deterministic. Devices are in the order of their IDs, whatever order they came in.
/// The version of the format that the file asks for is the lowest that has all it uses, so that old
/// runtimes can read it (SPEC.md of CDI, "Released versions"):
///
/// | version | used for |
/// |---|---|
/// | 0.5.0 | everything else; paths that differ between host and container, names that start with a digit |
/// | 0.6.0 | a resource with a dot in its name |
/// | 0.7.0 | additional groups |
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    kind: ResourceName,
    text: String,
}

impl From<DeviceNode> for Node {
    /// Leaves owner, group and mode to the runtime.
    fn from(node: DeviceNode) -> Self {
        Self {
            node,
            owner: Owner::default(),
        }
    }
}

impl Spec {
    /// Describes the `devices` of the resource `kind`, in any order, and what they share.
    ///
    /// # Errors
    ///
    /// [`SpecError`] for whatever a reader of the file would refuse, or a container could not
    /// have.
    pub fn new(
        kind: ResourceName,
        devices: impl IntoIterator<Item = Device>,
        shared: &Shared,
    ) -> Result<Self, SpecError> {
        check_kind(&kind)?;
        check_parts(&shared.envs, &shared.mounts)?;
        shared.nodes.iter().try_for_each(check_node)?;
        let mut sorted = BTreeMap::new();
        for device in devices {
            check_device(&device.id)?;
            check_parts(&device.envs, &device.mounts)?;
            check_node(&device.node)?;
            if let Some(twin) = sorted.insert(device.id.clone(), device) {
                let id = twin.id;
                return Err(SpecError::Duplicate { id });
            }
        }
        if sorted.is_empty() {
            return Err(SpecError::NoDevices { kind });
        }
        let text = json::text(&kind, &sorted, shared);
        Ok(Self { kind, text })
    }

    /// Returns the resource whose devices these are.
    pub fn kind(&self) -> &ResourceName {
        &self.kind
    }
}

/// The file's text, JSON over several lines.
impl Display for Spec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

fn check_parts(envs: &BTreeMap<String, String>, mounts: &[Mount]) -> Result<(), SpecError> {
    for (name, value) in envs {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let name = name.clone();
            return Err(SpecError::Variable { name });
        }
    }
    for mount in mounts {
        check_path(&mount.container_path)?;
        check_path(&mount.host_path)?;
    }
    Ok(())
}

fn check_node(node: &Node) -> Result<(), SpecError> {
    let DeviceNode {
        container_path,
        host_path,
        permissions,
    } = &node.node;
    check_path(container_path)?;
    check_path(host_path)?;
    if permissions.is_empty() || permissions.contains(|c| !matches!(c, 'r' | 'w' | 'm')) {
        return Err(SpecError::Permissions {
            path: container_path.clone(),
            permissions: permissions.clone(),
        });
    }
    if let Some(mode) = node.owner.mode.filter(|mode| *mode > 0o777) {
        let path = container_path.clone();
        return Err(SpecError::Mode { path, mode });
    }
    Ok(())
}

fn check_path(path: &Path) -> Result<(), SpecError> {
    let fine = path
        .to_str()
        .is_some_and(|text| text.starts_with('/') && !text.contains(char::is_control));
    if fine {
        Ok(())
    } else {
        let path = path.to_owned();
        Err(SpecError::Path { path })
    }
}

#[cfg(test)]
mod tests;
