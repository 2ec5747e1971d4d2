//! The device nodes of VFIO: which are really there.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sysfs_pci::{AttrError, IommuGroupId, PciAddress, SysfsRoot, decimal, fs};

use crate::{DevRoot, DeviceNumbers, NodeError, is_no_iommu_group};

/// Where device nodes are on the host and in a container, whatever the [`DevRoot`] is.
const DEV: &str = "/dev";

/// What a device node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NodeKind {
    /// `/dev/vfio/vfio`: makes containers (address spaces). Every user of groups needs it.
    Control,
    /// `/dev/vfio/<group>`: a group behind an IOMMU.
    Group,
    /// `/dev/vfio/noiommu-<group>`: a function that no IOMMU confines.
    NoIommuGroup,
    /// `/dev/vfio/devices/vfio<X>`: one device, to be used with `/dev/iommu`.
    Cdev,
}

/// A device node that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VfioNode {
    /// What it is for.
    pub kind: NodeKind,
    /// The path on the host, always below `/dev`.
    pub host_path: PathBuf,
    /// The path where users in a container look for it. The same as on the host, except for
    /// no-IOMMU: the host's `/dev/vfio/noiommu-7` is `/dev/vfio/7` in the container.
    pub container_path: PathBuf,
}

impl VfioNode {
    fn new(kind: NodeKind, relative: &str) -> Self {
        let host_path = Path::new(DEV).join(relative);
        Self {
            kind,
            container_path: host_path.clone(),
            host_path,
        }
    }
}

/// Looks at the control node, `/dev/vfio/vfio`. 1 call.
///
/// # Errors
///
/// [`NodeError`] when it is missing (the module `vfio` is not loaded), is not a character device
/// or cannot be looked at.
pub fn control_node(dev: &DevRoot) -> Result<VfioNode, NodeError> {
    let relative = "vfio/vfio";
    numbers(&dev.join(relative))?;
    Ok(VfioNode::new(NodeKind::Control, relative))
}

/// Looks at the node of a group, `/dev/vfio/<group>`, or where that is missing
/// `/dev/vfio/noiommu-<group>`. 1 call; 2 when the first is missing.
///
/// Other entries of `/dev/vfio` do not matter: the directory is not listed.
///
/// This goes by what is there, which is cheap and enough to see that a node is missing. A stale
/// `/dev/vfio/7` hides the `/dev/vfio/noiommu-7` of a group without IOMMU here; before a function is
/// handed out, [`Host::recheck`](crate::Host::recheck) asks sysfs which of the two it must be.
///
/// # Errors
///
/// [`NodeError::Missing`] names the first of the two. The other variants as they say.
pub fn group_node(dev: &DevRoot, group: IommuGroupId) -> Result<VfioNode, NodeError> {
    let usual = GroupNode::new(group, false);
    match numbers(&dev.join(&usual.relative())) {
        Ok(_) => return Ok(usual.into_node()),
        Err(NodeError::Missing { .. }) => {}
        Err(error) => return Err(error),
    }
    let unconfined = GroupNode::new(group, true);
    match numbers(&dev.join(&unconfined.relative())) {
        Ok(_) => Ok(unconfined.into_node()),
        Err(NodeError::Missing { .. }) => Err(NodeError::Missing {
            path: dev.join(&usual.relative()),
        }),
        Err(error) => Err(error),
    }
}

/// Looks at the node that a group must have, and compares its numbers with those that sysfs tells in
/// `class/vfio/<name>/dev`.
///
/// 1 call for the group's `name`, 3 with one; 1 for the node; 3 for the numbers. Where sysfs has no
/// numbers it is 1 and 1 more: without `class/vfio` there is nothing to compare, with it the node is
/// stale.
pub(crate) fn verified_group_node(
    sysfs: &SysfsRoot,
    dev: &DevRoot,
    group: IommuGroupId,
) -> Result<VfioNode, NodeError> {
    let wanted = GroupNode::new(group, is_no_iommu_group(sysfs, group));
    let path = dev.join(&wanted.relative());
    let found = numbers(&path)?;
    let class = sysfs.join("class/vfio");
    match read_numbers(&class.join(&wanted.name).join("dev"))? {
        Some(expected) if expected == found => Ok(wanted.into_node()),
        Some(expected) => Err(NodeError::WrongDevice {
            path,
            found,
            expected,
        }),
        None if fs::stat(&class).is_ok() => Err(NodeError::Stale { path }),
        None => Ok(wanted.into_node()),
    }
}

/// Whether the kernel says that it has made the node of a group: its device is in `class/vfio`. 1 call, and 1 for the group's
/// `name`.
pub(crate) fn is_announced(sysfs: &SysfsRoot, group: IommuGroupId) -> bool {
    let node = GroupNode::new(group, is_no_iommu_group(sysfs, group));
    fs::stat(&sysfs.join("class/vfio").join(node.name)).is_ok()
}

/// The node of a group by its name, there or not.
struct GroupNode {
    group: IommuGroupId,
    kind: NodeKind,
    /// In `/dev/vfio` and in `class/vfio`.
    name: String,
}

impl GroupNode {
    fn new(group: IommuGroupId, no_iommu: bool) -> Self {
        let (kind, name) = if no_iommu {
            (NodeKind::NoIommuGroup, format!("noiommu-{group}"))
        } else {
            (NodeKind::Group, group.to_string())
        };
        Self { group, kind, name }
    }

    fn relative(&self) -> String {
        format!("vfio/{}", self.name)
    }

    fn into_node(self) -> VfioNode {
        let directory = Path::new(DEV).join("vfio");
        VfioNode {
            kind: self.kind,
            host_path: directory.join(&self.name),
            container_path: directory.join(self.group.to_string()),
        }
    }
}

/// Looks for the node of a single device, `/dev/vfio/devices/vfio<X>`.
///
/// `None` when sysfs has no `vfio-dev/vfio<X>` with a `dev` file for the function, or when there is no
/// such node: the function is not bound to a VFIO driver, or the kernel makes no such nodes.
/// One listing, 3 calls for the numbers in sysfs and 1 for the node.
///
/// # Errors
///
/// [`NodeError`] when something is there and it is not the right device, or cannot be looked at.
pub fn cdev_node(
    sysfs: &SysfsRoot,
    dev: &DevRoot,
    address: PciAddress,
) -> Result<Option<VfioNode>, NodeError> {
    let directory = sysfs.pci_device(address).join("vfio-dev");
    let entries = match fs::list(&directory) {
        Ok(entries) => entries,
        Err(error) if error.is_gone() => return Ok(None),
        Err(error) => return Err(NodeError::unreadable(&directory, reason(&error))),
    };
    let Some(entry) = entries.into_iter().find(|entry| is_cdev_name(&entry.name)) else {
        return Ok(None);
    };
    let Some(expected) = read_numbers(&directory.join(&entry.name).join("dev"))? else {
        return Ok(None);
    };
    let relative = format!("vfio/devices/{}", entry.name);
    match expect_numbers(&dev.join(&relative), expected) {
        Ok(()) => Ok(Some(VfioNode::new(NodeKind::Cdev, &relative))),
        Err(NodeError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks whether a path is the character device with these numbers. 1 call.
pub(crate) fn expect_numbers(path: &Path, expected: DeviceNumbers) -> Result<(), NodeError> {
    let found = numbers(path)?;
    if found == expected {
        Ok(())
    } else {
        Err(NodeError::WrongDevice {
            path: path.to_owned(),
            found,
            expected,
        })
    }
}

fn is_cdev_name(name: &str) -> bool {
    name.strip_prefix("vfio")
        .is_some_and(|number| decimal::<u32>(number).is_some())
}

/// The numbers of a character device. 1 call.
fn numbers(path: &Path) -> Result<DeviceNumbers, NodeError> {
    match fs::stat(path) {
        Ok(stat) if stat.is_char_device => {
            let (major, minor) = stat.device_numbers;
            Ok(DeviceNumbers { major, minor })
        }
        Ok(_) => Err(NodeError::NotCharDevice {
            path: path.to_owned(),
        }),
        Err(error) if is_missing(error.kind()) => Err(NodeError::Missing {
            path: path.to_owned(),
        }),
        Err(error) => Err(NodeError::unreadable(path, error.to_string())),
    }
}

/// A parent that is no directory means that there is no node, too.
fn is_missing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The numbers in a `dev` file of sysfs. `None`: there is no such file.
pub(crate) fn read_numbers(path: &Path) -> Result<Option<DeviceNumbers>, NodeError> {
    let text = match fs::read_text(path) {
        Ok(text) => text,
        Err(error) if error.is_gone() => return Ok(None),
        Err(error) => return Err(NodeError::unreadable(path, reason(&error))),
    };
    DeviceNumbers::parse(&text).map(Some).ok_or_else(|| {
        let error = AttrError::invalid(path, &text, "of the form `major:minor`");
        NodeError::unreadable(path, reason(&error))
    })
}

/// What went wrong, without the path, which the node's error has already.
pub(crate) fn reason(error: &AttrError) -> String {
    match error {
        AttrError::Read { source, .. } => source.to_string(),
        AttrError::Invalid {
            value, expected, ..
        } => format!("it holds `{value}`, which is not {expected}"),
        AttrError::NotText { .. } => "it does not hold text".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cdev_names_have_a_number() {
        assert!(is_cdev_name("vfio0") && is_cdev_name("vfio317"));
        for name in ["vfio", "vfio-1", "vfio1x", "power", ""] {
            assert!(!is_cdev_name(name), "{name}");
        }
    }
}
