//! What can be wrong with a description, and with writing it.

use std::{io, path::PathBuf};

use sysfs_pci::{PciAddress, PciId};
use thiserror::Error;

/// A description that no machine could have.
///
/// [`Machine`](crate::Machine) collects these while it is put together, and
/// [`Machine::write`](crate::Machine::write) returns the first.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// A change or a live event names a function that the machine does not have.
    #[error("this machine has no function `{address}`")]
    UnknownFunction {
        /// The address that was named.
        address: PciAddress,
    },
    /// Two functions were given one address.
    #[error("two functions have the address `{address}`")]
    AddressTaken {
        /// The address that both have.
        address: PciAddress,
    },
    /// Something that only a physical function with SR-IOV has was asked of another function.
    #[error("`{address}` is not a physical function with SR-IOV")]
    NotPhysical {
        /// The function that was named.
        address: PciAddress,
    },
    /// Something that only a VF has was asked of another function.
    #[error("`{address}` is not a VF of this machine")]
    NotVirtual {
        /// The function that was named.
        address: PciAddress,
    },
    /// A VF would lie beyond the last bus of its domain.
    #[error("VF {index} of `{pf}` has no address: bus numbers end at ff")]
    NoAddress {
        /// The physical function.
        pf: PciAddress,
        /// The number of the VF.
        index: u16,
    },
    /// A bridge is behind itself, or behind more bridges than a machine has buses for.
    #[error("the bridges above `{address}` lead in a circle")]
    BridgeLoop {
        /// A function behind them.
        address: PciAddress,
    },
    /// A function was to share the IOMMU group of one that has none.
    #[error("`{address}` has no IOMMU group that another function could share")]
    NoGroup {
        /// The function without a group.
        address: PciAddress,
    },
    /// A file was to be changed that the function does not have.
    #[error("`{address}` has no attribute `{name}`")]
    NoAttribute {
        /// The function.
        address: PciAddress,
        /// The attribute, relative to the function's directory.
        name: String,
    },
    /// The scale profile holds at most 16 physical functions of 256 VFs.
    #[error("{pfs} physical functions of {vfs} VFs each: at most 16 and 256")]
    TooLarge {
        /// Physical functions asked for.
        pfs: u8,
        /// VFs asked for on each.
        vfs: u16,
    },
}

/// Why a tree could not be written or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SimError {
    /// The description is wrong.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// A file, directory or link could not be made or removed.
    #[error("cannot {operation} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// `bind` of a function that has a driver. The kernel answers EBUSY.
    #[error("`{address}` is already bound to `{driver}`")]
    AlreadyBound {
        /// The function.
        address: PciAddress,
        /// The driver it has.
        driver: String,
    },
    /// `unbind` of a function without a driver. The kernel answers ENODEV.
    #[error("`{address}` is not bound to any driver")]
    NotBound {
        /// The function.
        address: PciAddress,
    },
    /// `bind` to a VFIO driver of a function without IOMMU group, while the
    /// no-IOMMU mode is off. The kernel answers EINVAL.
    #[error("`{address}` has no IOMMU group and the no-IOMMU mode is off")]
    NoIommu {
        /// The function.
        address: PciAddress,
    },
    /// `bind` to `vfio-pci` of a function on its denylist, while `disable_denylist` is N. The
    /// kernel answers EINVAL.
    #[error("`{address}` is a `{id}`, which is on the denylist of `vfio-pci`")]
    Denylisted {
        /// The function.
        address: PciAddress,
        /// What it is.
        id: PciId,
    },
    /// `replug` of a function that was not unplugged.
    #[error("`{address}` was not unplugged before")]
    NotUnplugged {
        /// The function.
        address: PciAddress,
    },
    /// VFs were asked for where there are some already, or `bind` to a VFIO driver of a
    /// physical function that has some. The kernel answers EBUSY.
    #[error("`{pf}` has VFs already")]
    HasVfs {
        /// The physical function.
        pf: PciAddress,
    },
    /// A process was to open a function through VFIO that is not on a VFIO driver.
    #[error("`{address}` is not bound to a VFIO driver, so nobody can open it")]
    NotOnVfio {
        /// The function.
        address: PciAddress,
    },
    /// A second reactor was to be started.
    #[error("a reactor plays the kernel of this node already; drop it first")]
    Reacting,
    /// A group node of a group that this machine does not have.
    #[error("no function that is bound to a VFIO driver is in IOMMU group {group}")]
    NoVfioGroup {
        /// The number of the group.
        group: u32,
    },
}

impl From<SimError> for io::Error {
    fn from(error: SimError) -> Self {
        let kind = match &error {
            SimError::Io { source, .. } => source.kind(),
            SimError::AlreadyBound { .. } | SimError::HasVfs { .. } | SimError::Reacting => {
                io::ErrorKind::ResourceBusy
            }
            SimError::NotBound { .. }
            | SimError::NotOnVfio { .. }
            | SimError::NotUnplugged { .. }
            | SimError::NoVfioGroup { .. } => io::ErrorKind::NotFound,
            SimError::Description(_) | SimError::NoIommu { .. } | SimError::Denylisted { .. } => {
                io::ErrorKind::InvalidInput
            }
        };
        Self::new(kind, error)
    }
}
