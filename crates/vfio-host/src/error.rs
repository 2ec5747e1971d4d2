//! Why a group or a node cannot be read or used.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use sysfs_pci::{AttrError, IommuGroupId, PciAddress};
use thiserror::Error;

use crate::DeviceNumbers;

/// Why an IOMMU group cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HostError {
    /// An attribute of the function cannot be read.
    #[error("cannot look at {address}")]
    Function {
        /// The function.
        address: PciAddress,
        /// What went wrong.
        #[source]
        source: AttrError,
    },
    /// The group does not exist (any more). Read the functions' links again.
    #[error("IOMMU group {group} does not exist")]
    NoGroup {
        /// The group.
        group: IommuGroupId,
    },
    /// The group's members cannot be listed.
    #[error("cannot list the members of IOMMU group {group}")]
    List {
        /// The group.
        group: IommuGroupId,
        /// What went wrong.
        #[source]
        source: AttrError,
    },
    /// The driver of a member cannot be read.
    #[error("cannot read the driver of `{member}` in IOMMU group {group}")]
    Member {
        /// The group.
        group: IommuGroupId,
        /// The member's name in the group.
        member: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The driver of a member has a name that no driver can have.
    #[error(
        "the driver of `{member}` in IOMMU group {group} has the impossible name `{}`",
        driver.escape_debug()
    )]
    DriverName {
        /// The group.
        group: IommuGroupId,
        /// The member's name in the group.
        member: String,
        /// The name.
        driver: String,
    },
}

/// Why a device node cannot be used.
///
/// Paths are those that were looked at, so below the [`DevRoot`](crate::DevRoot). The reason of a
/// failed look is kept as text, so that the error can be part of data that is cloned and compared.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// There is no such node.
    #[error("the device node `{}` is missing", path.display())]
    Missing {
        /// The node.
        path: PathBuf,
    },
    /// Something is there that is not a character device. A container runtime makes a directory, for
    /// instance, where it is told to mount a path that does not exist.
    #[error("`{}` is not a character device", path.display())]
    NotCharDevice {
        /// The path.
        path: PathBuf,
    },
    /// The node is another device's: its numbers are not those that sysfs tells.
    #[error(
        "the device node `{}` has the numbers {found}, but the kernel's device has {expected}",
        path.display()
    )]
    WrongDevice {
        /// The node.
        path: PathBuf,
        /// The numbers that the node has.
        found: DeviceNumbers,
        /// The numbers that sysfs tells.
        expected: DeviceNumbers,
    },
    /// The node is a stale one: the kernel has no VFIO group of that name. `class/vfio` in sysfs has
    /// an entry for each that it has.
    #[error(
        "the device node `{}` is stale: the kernel has no VFIO group of that name",
        path.display()
    )]
    Stale {
        /// The node.
        path: PathBuf,
    },
    /// The function has no UIO device, whose node it would be.
    #[error("`{}` has no UIO device", path.display())]
    NoUio {
        /// The directory that would hold it.
        path: PathBuf,
    },
    /// The node, or what sysfs says of it, cannot be looked at.
    #[error("cannot look at `{}`: {reason}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What went wrong, as text.
        reason: String,
    },
}

impl HostError {
    /// Whether the function or its group is not there (any more): look again.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::NoGroup { .. } => true,
            Self::Function { source, .. } => source.is_gone(),
            _ => false,
        }
    }
}

impl NodeError {
    pub(crate) fn unreadable(path: &Path, reason: String) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            reason,
        }
    }
}

/// An error and its sources on one line, for text that stands alone.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
