//! Asking VFIO itself, through its device nodes.
//!
//! Everything else in this crate concludes from sysfs what VFIO would say. Here VFIO is asked, which
//! finds what no file shows: a node that the process may not open, a device cgroup, a driver that
//! counts as an owner of the group against all appearances.
//!
//! # What it costs others
//!
//! The control node can be open as often as one likes. **The node of a group can be open once.** While
//! the probe has it, some microseconds, a workload that starts with that group is told `EBUSY`, and
//! gives up. So [`Host::probe_group`] opens no group that has a member open, and wants to hear from its
//! caller, at the last moment, that nobody holds a member. A workload that was given a device
//! and has not opened it yet is exactly what nothing on the machine shows. What remains is the moment between that answer
//! and the open; whoever cannot accept that does not probe.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::Serialize;
use sysfs_pci::{AttrError, IommuGroupId, PciAddress};
use thiserror::Error;

use crate::ioctl::{ContainerFile, Extension, GroupFile, GroupStatus};
use crate::node::verified_group_node;
use crate::{DevRoot, Group, Host, HostError, NodeError, VfioNode, control_node, read_group};

/// What VFIO offers to users of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerFacts {
    /// The version of the interface. There is only 0.
    pub api_version: i32,
    /// Whether there is the IOMMU interface `VFIO_TYPE1_IOMMU`.
    pub type1: bool,
    /// Whether there is `VFIO_TYPE1v2_IOMMU`, which QEMU and DPDK use.
    pub type1v2: bool,
    /// Whether there is `VFIO_NOIOMMU_IOMMU`: devices without protection are given out.
    pub no_iommu: bool,
}

/// A group as sysfs shows it and what VFIO says of it, both of the same moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupProbe {
    /// The group and its members. [`Group::viability`] is our own verdict.
    pub group: Group,
    /// What VFIO says.
    pub status: GroupStatus,
}

/// Why VFIO was not asked, or did not answer.
///
/// Paths are those that were opened, so below the [`DevRoot`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The group cannot be read. It was not opened.
    #[error("IOMMU group {group} was not asked")]
    Group {
        /// The group.
        group: IommuGroupId,
        /// What went wrong.
        #[source]
        source: HostError,
    },
    /// Whether a member is open cannot be read. The group was not opened.
    #[error("IOMMU group {group} was not asked: whether {member} is open cannot be read")]
    Enable {
        /// The group.
        group: IommuGroupId,
        /// The member.
        member: PciAddress,
        /// What went wrong.
        #[source]
        source: AttrError,
    },
    /// A member is open: its enable count is 1 or more. The group was not opened.
    #[error("IOMMU group {group} was not asked: {member} is open")]
    Open {
        /// The group.
        group: IommuGroupId,
        /// The member.
        member: PciAddress,
    },
    /// Somebody may be about to open it. The group was not opened.
    #[error("IOMMU group {group} was not asked: {why}")]
    Held {
        /// The group.
        group: IommuGroupId,
        /// What the caller has said.
        why: String,
    },
    /// The node is missing or another one.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Somebody has the group open, or a device of it.
    #[error(
        "`{}` is open in another process; `fuser -v` on the node names it",
        path.display()
    )]
    Busy {
        /// The node.
        path: PathBuf,
    },
    /// The node may not be opened.
    #[error(
        "`{}` may not be opened: be root, in a container also give it the device, and for a group \
         without IOMMU CAP_SYS_RAWIO",
        path.display()
    )]
    Denied {
        /// The node.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A device is there that does not know VFIO's calls.
    #[error("`{}` is a device, but not one of VFIO", path.display())]
    NotVfio {
        /// The node.
        path: PathBuf,
    },
    /// The last device of the group went away meanwhile, or the node is one that was left over.
    #[error("`{}` has no device behind it any more", path.display())]
    Gone {
        /// The node.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("`{}`: {call} failed", path.display())]
    Call {
        /// The node.
        path: PathBuf,
        /// The call: `open`, or the name of an ioctl.
        call: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Asks VFIO's control node what there is. Harmless at any time.
///
/// # Errors
///
/// [`ProbeError::Node`] when there is no such node, [`ProbeError::NotVfio`] when it is something
/// else, the others as they say.
pub fn probe(dev: &DevRoot) -> Result<ContainerFacts, ProbeError> {
    let path = below(dev, &control_node(dev)?);
    let container = ContainerFile::open(&path).map_err(|error| sort("open", &path, error))?;
    let has = |extension| {
        let answer = container.has(extension);
        answer.map_err(|error| sort("VFIO_CHECK_EXTENSION", &path, error))
    };
    Ok(ContainerFacts {
        api_version: container
            .api_version()
            .map_err(|error| sort("VFIO_GET_API_VERSION", &path, error))?,
        type1: has(Extension::Type1)?,
        type1v2: has(Extension::Type1v2)?,
        no_iommu: has(Extension::NoIommu)?,
    })
}

impl Host {
    /// Asks VFIO about a group that nobody uses: whether it can be had, and whether it is taken.
    ///
    /// The node is opened, and closed again at once. It is not opened while a member on a VFIO driver
    /// has an enable count of 1 or more, nor when the node is not the one that sysfs tells, nor when
    /// `held` has a reason. `held` is asked last. It gets the group with its members and answers why one
    /// of them may be in use without being open yet, because a pod was given it for instance; `None` is
    /// the caller's word that none is. Wrong, it may make a starting workload fail with `EBUSY`.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Open`] and [`ProbeError::Held`] when the group was left alone,
    /// [`ProbeError::Busy`] when somebody has it open all the same, the others as they say.
    pub fn probe_group(
        &self,
        id: IommuGroupId,
        held: impl FnOnce(&Group) -> Option<String>,
    ) -> Result<GroupProbe, ProbeError> {
        let group = read_group(&self.sysfs, id)
            .map_err(|source| ProbeError::Group { group: id, source })?;
        self.none_open(&group)?;
        let node = verified_group_node(&self.sysfs, &self.dev, id)?;
        let path = below(&self.dev, &node);
        if let Some(why) = held(&group) {
            return Err(ProbeError::Held { group: id, why });
        }
        let file = GroupFile::open(&path).map_err(|error| sort("open", &path, error))?;
        let status = file.status();
        drop(file);
        let status = status.map_err(|error| sort("VFIO_GROUP_GET_STATUS", &path, error))?;
        Ok(GroupProbe { group, status })
    }

    /// Members on other drivers are enabled by these, and never open through VFIO.
    fn none_open(&self, group: &Group) -> Result<(), ProbeError> {
        let ours = group
            .members
            .iter()
            .filter(|member| member.is_vfio_bound(&self.drivers));
        for member in ours.filter_map(|member| member.address) {
            match sysfs_pci::enable_count(&self.sysfs, member) {
                Ok(0) => {}
                Ok(_) => {
                    return Err(ProbeError::Open {
                        group: group.id,
                        member,
                    });
                }
                // A member that went away meanwhile is open no more.
                Err(error) if error.is_gone() => {}
                Err(source) => {
                    return Err(ProbeError::Enable {
                        group: group.id,
                        member,
                        source,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Where a node is seen by this process.
fn below(dev: &DevRoot, node: &VfioNode) -> PathBuf {
    let path = &node.host_path;
    dev.path().join(path.strip_prefix("/dev").unwrap_or(path))
}

/// What an error of a call on a node means.
fn sort(call: &'static str, path: &Path, source: io::Error) -> ProbeError {
    let path = path.to_owned();
    match Errno::from_io_error(&source) {
        Some(Errno::BUSY) => ProbeError::Busy { path },
        Some(Errno::PERM | Errno::ACCESS) => ProbeError::Denied { path, source },
        Some(Errno::NOTTY) => ProbeError::NotVfio { path },
        Some(Errno::NODEV | Errno::NXIO) => ProbeError::Gone { path, source },
        Some(Errno::NOENT) => ProbeError::Node(NodeError::Missing { path }),
        _ => ProbeError::Call { path, call, source },
    }
}

impl ProbeError {
    /// Whether the group was left alone, as it should be: it is in use, or may be.
    pub const fn is_in_use(&self) -> bool {
        matches!(
            self,
            Self::Open { .. } | Self::Held { .. } | Self::Busy { .. }
        )
    }

    /// A stable short code, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Group { .. } | Self::Enable { .. } => "probe-unreadable",
            Self::Open { .. } => "probe-open",
            Self::Held { .. } => "probe-held",
            Self::Node(_) => "probe-node",
            Self::Busy { .. } => "probe-busy",
            Self::Denied { .. } => "probe-denied",
            Self::NotVfio { .. } => "probe-not-vfio",
            Self::Gone { .. } => "probe-gone",
            Self::Call { .. } => "probe-failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn each_error_of_the_kernel_is_told_apart() {
        for (errno, code) in [
            (Errno::BUSY, "probe-busy"),
            (Errno::PERM, "probe-denied"),
            (Errno::ACCESS, "probe-denied"),
            (Errno::NOTTY, "probe-not-vfio"),
            (Errno::NODEV, "probe-gone"),
            (Errno::NXIO, "probe-gone"),
            (Errno::NOENT, "probe-node"),
            (Errno::INVAL, "probe-failed"),
        ] {
            let error = sort("open", Path::new("/dev/vfio/7"), errno.into());
            assert_eq!(error.code(), code, "{errno}");
            assert!(error.to_string().contains("`/dev/vfio/7`"), "{error}");
            assert_eq!(error.is_in_use(), errno == Errno::BUSY, "{errno}");
        }
    }

    #[test]
    fn what_the_kernel_said_is_the_source_and_not_in_the_text() {
        let error = sort("open", Path::new("/dev/vfio/7"), Errno::INVAL.into());
        assert_eq!(error.to_string(), "`/dev/vfio/7`: open failed");
        assert!(error.source().is_some());
    }

    #[test]
    fn a_node_is_opened_below_the_root() {
        let dev = DevRoot::new("/host/dev");
        let node = VfioNode {
            kind: crate::NodeKind::NoIommuGroup,
            host_path: "/dev/vfio/noiommu-7".into(),
            container_path: "/dev/vfio/7".into(),
        };
        assert_eq!(below(&dev, &node), Path::new("/host/dev/vfio/noiommu-7"));
    }
}
