//! Why a function cannot be handed out now.

use sysfs_pci::{DriverName, IommuGroupId, PciAddress};
use thiserror::Error;

use crate::{Member, NodeError, VfioDrivers};

/// Why a function cannot be handed out now.
///
/// The text is a sentence for the person who reads `kubectl describe pod`: what is wrong and what to
/// do on the node. What becomes of the pod depends on the call that is rejected, so the caller adds it. The text is complete
/// in itself, so there is no [`source`](std::error::Error::source).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The function is not there any more.
    #[error("PCI function {address} is no longer on this node")]
    Gone {
        /// The function.
        address: PciAddress,
    },
    /// No driver is bound.
    #[error(
        "PCI function {address} has no driver, or an unbind of it waits for a process that has it \
         open; end that process and bind the function to {accepted} on the node"
    )]
    NoDriver {
        /// The function.
        address: PciAddress,
        /// The drivers that would do.
        accepted: VfioDrivers,
    },
    /// A driver is bound that is no VFIO driver.
    #[error("PCI function {address} is bound to `{driver}`; bind it to {accepted} on the node")]
    WrongDriver {
        /// The function.
        address: PciAddress,
        /// The driver that is bound.
        driver: DriverName,
        /// The drivers that would do.
        accepted: VfioDrivers,
    },
    /// The function is in no IOMMU group.
    #[error(
        "PCI function {address} is in no IOMMU group; switch the IOMMU on in the node's firmware and \
         on the command line of its kernel, or bind the function again if it was in a group before"
    )]
    NoGroup {
        /// The function.
        address: PciAddress,
    },
    /// The function is in another group than the caller thought: it was made anew meanwhile.
    #[error("PCI function {address} moved from IOMMU group {expected} to group {found}")]
    GroupChanged {
        /// The function.
        address: PciAddress,
        /// The group that the caller expected.
        expected: IommuGroupId,
        /// The group that it is in.
        found: IommuGroupId,
    },
    /// The kernel drives other members of the group for purposes of its own.
    #[error(
        "PCI function {address} cannot be isolated: IOMMU group {group} also holds {}; unbind that \
         from its driver or bind it to {accepted} on the node",
        list(by)
    )]
    NotViable {
        /// The function.
        address: PciAddress,
        /// Its group.
        group: IommuGroupId,
        /// The members that stand in the way.
        by: Vec<Member>,
        /// The drivers that would do.
        accepted: VfioDrivers,
    },
    /// Somebody has the function open: its enable count is 1 or more.
    #[error(
        "PCI function {address} is open in another process on this node; end that process, `fuser -v` \
         on the node of IOMMU group {group} in /dev/vfio names it"
    )]
    InUse {
        /// The function.
        address: PciAddress,
        /// Its group.
        group: IommuGroupId,
    },
    /// Somebody has another function of the group open, and a group has one user at a time.
    #[error(
        "PCI function {address} shares IOMMU group {group} with {other}, which is open in another \
         process on this node; end that process"
    )]
    GroupInUse {
        /// The function.
        address: PciAddress,
        /// Its group.
        group: IommuGroupId,
        /// The function that is open.
        other: PciAddress,
    },
    /// The device node is missing or unusable.
    #[error("PCI function {address} cannot be opened: {error}; {}", advice(error))]
    Node {
        /// The function.
        address: PciAddress,
        /// What is wrong with the node.
        error: NodeError,
    },
    /// The machine could not be asked.
    #[error(
        "PCI function {address} cannot be checked: {reason}; check that the device plugin can read the \
         node's sysfs"
    )]
    Read {
        /// The function.
        address: PciAddress,
        /// What went wrong, as text.
        reason: String,
    },
}

fn list(members: &[Member]) -> String {
    let names: Vec<_> = members.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn advice(error: &NodeError) -> &'static str {
    match error {
        NodeError::Missing { .. } | NodeError::NoUio { .. } => {
            "bind the function again, and check that the device plugin sees the node's /dev/vfio"
        }
        NodeError::NotCharDevice { .. } => {
            "remove what is in its place on the node and bind the function again"
        }
        NodeError::WrongDevice { .. } | NodeError::Stale { .. } => {
            "remove this stale node and bind the function again"
        }
        NodeError::Unreadable { .. } => {
            "check that the device plugin can read the node's /dev/vfio and sysfs"
        }
    }
}
