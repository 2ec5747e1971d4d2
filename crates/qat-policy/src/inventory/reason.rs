//! Why a VF is not offered.

use std::fmt;
use std::num::NonZeroUsize;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use sysfs_pci::{DriverName, IommuGroupId, PciAddress, PciId};

use crate::health::Sickness;
use crate::vf_drivers::VfDrivers;

/// Why a VF is not offered.
///
/// As text it says what is wrong and what to do about it. In serde it is a struct of a stable short
/// [code](Self::code) and that text.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The VF's family is not among those to offer.
    FamilyNotEnabled {
        /// The kernel VF driver that stands for the family.
        driver: &'static str,
    },
    /// The PF is bound to a VFIO driver. Its firmware does not run, and the kernel wants a VF token
    /// from each user of a VF (`vfio_pci_validate_vf_token`).
    PfOnVfio {
        /// The PF.
        pf: PciAddress,
        /// The VFIO driver.
        driver: DriverName,
        /// The driver it should have.
        expected: &'static str,
    },
    /// The PF has no driver, so no firmware runs.
    PfUnbound {
        /// The PF.
        pf: PciAddress,
        /// The driver it should have.
        expected: &'static str,
    },
    /// The PF has a driver that is not for QAT.
    PfForeignDriver {
        /// The PF.
        pf: PciAddress,
        /// The driver it has.
        driver: DriverName,
        /// The driver it should have.
        expected: &'static str,
    },
    /// It has no link to a PF although a PF of its family is there. So it is no VF that a hypervisor
    /// gave to this machine: the kernel is making or removing it (`pci_iov_add_virtfn`).
    NoPfLink,
    /// The PF is there but the scan could not read it.
    PfUnreadable {
        /// The PF.
        pf: PciAddress,
    },
    /// The machine has no active IOMMU and the VF no IOMMU group.
    NoIommu,
    /// The machine has an IOMMU but the VF has no group.
    NoIommuGroup,
    /// The VF is not on a VFIO driver, and `vfio-pci` refuses to take it.
    Denylisted {
        /// Vendor and device of the VF.
        id: PciId,
    },
    /// The VF has no driver.
    NotBound {
        /// The drivers that would do.
        wanted: VfDrivers,
    },
    /// The VF is in use by the host: it has the kernel's QAT driver for VFs.
    KernelDriver {
        /// That driver.
        driver: DriverName,
        /// The drivers that would do.
        wanted: VfDrivers,
    },
    /// The VF has a driver that is neither for QAT nor one that is wanted.
    ForeignDriver {
        /// That driver.
        driver: DriverName,
        /// The drivers that would do.
        wanted: VfDrivers,
    },
    /// Another member of the IOMMU group has a kernel driver, so VFIO cannot have the group.
    GroupBlocked {
        /// The group.
        group: IommuGroupId,
        /// The members in the way, with their drivers.
        by: Vec<String>,
    },
    /// `/dev/vfio/vfio` cannot be given to a container.
    ControlNode {
        /// What is wrong with it.
        error: String,
    },
    /// The group's device node cannot be given to a container.
    Node {
        /// The group.
        group: IommuGroupId,
        /// What is wrong with it.
        error: String,
    },
    /// The VF's UIO device or its node cannot be given to a container.
    UioNode {
        /// What is wrong with it.
        error: String,
    },
    /// Something is wrong with the PF that its driver tells.
    PfSick {
        /// The PF.
        pf: PciAddress,
        /// What is wrong with it.
        sickness: Sickness,
    },
    /// The PF's services should be readable but are not, so nobody knows which pool is right.
    Services {
        /// The PF.
        pf: PciAddress,
        /// What is wrong.
        error: String,
    },
    /// Another VF of the same IOMMU group is offered.
    GroupShared {
        /// The group.
        group: IommuGroupId,
        /// The VF that is offered.
        with: PciAddress,
    },
    /// Enough VFs are offered already.
    BeyondCap {
        /// The most that may be offered.
        cap: NonZeroUsize,
    },
}

impl Reason {
    /// Returns a stable short code, for metrics and for programs that read our JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::FamilyNotEnabled { .. } => "family-not-enabled",
            Self::PfOnVfio { .. } => "pf-on-vfio",
            Self::PfUnbound { .. } => "pf-unbound",
            Self::PfForeignDriver { .. } => "pf-foreign-driver",
            Self::PfSick { .. } => "pf-sick",
            Self::NoPfLink => "no-pf-link",
            Self::PfUnreadable { .. } => "pf-unreadable",
            Self::NoIommu => "no-iommu",
            Self::NoIommuGroup => "no-iommu-group",
            Self::Denylisted { .. } => "denylisted",
            Self::NotBound { .. } => "not-bound",
            Self::KernelDriver { .. } => "kernel-driver",
            Self::ForeignDriver { .. } => "foreign-driver",
            Self::GroupBlocked { .. } => "group-blocked",
            Self::ControlNode { .. } => "control-node",
            Self::Node { .. } => "node",
            Self::UioNode { .. } => "uio-node",
            Self::Services { .. } => "services",
            Self::GroupShared { .. } => "group-shared",
            Self::BeyondCap { .. } => "beyond-cap",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FamilyNotEnabled { driver } => {
                write!(f, "its family is not enabled; add `{driver}` to the list of kernel VF drivers to offer it")
            }
            Self::PfOnVfio { pf, driver, expected } => write!(
                f,
                "its PF {pf} is bound to `{driver}`, so its firmware does not run and users would need a VF token; \
                 bind the PF to `{expected}`"
            ),
            Self::PfUnbound { pf, expected } => write!(
                f,
                "its PF {pf} has no driver; bind it to `{expected}`, and see the kernel log if that fails (firmware may be \
                 missing)"
            ),
            Self::PfForeignDriver { pf, driver, expected } => {
                write!(f, "its PF {pf} is bound to `{driver}`, which does not run QAT; bind the PF to `{expected}`")
            }
            Self::PfSick { pf, sickness } => write!(f, "its PF {pf} is not well: {sickness}"),
            Self::NoPfLink => f.write_str(
                "it has lost the link to its PF, so it is being made or removed; look again in a moment",
            ),
            Self::PfUnreadable { pf } => {
                write!(f, "its PF {pf} could not be read, so nobody knows whether it runs; see what the scan says of the PF")
            }
            Self::NoIommu => f.write_str(
                "the machine has no active IOMMU; enable VT-d in the firmware and boot with `intel_iommu=on`",
            ),
            Self::NoIommuGroup => f.write_str(
                "it has no IOMMU group although the machine has an IOMMU; see the kernel log, and remove what exempts \
                 the device from the IOMMU",
            ),
            Self::Denylisted { id } => write!(
                f,
                "vfio-pci refuses {id} (denylist); load vfio-pci with disable_denylist=1 if you trust the users of these \
                 VFs"
            ),
            Self::NotBound { wanted } => write!(f, "no driver is bound; bind it to {wanted}"),
            Self::KernelDriver { driver, wanted } => {
                write!(f, "the host's QAT driver `{driver}` has it; unbind it there and bind it to {wanted}")
            }
            Self::ForeignDriver { driver, wanted } => {
                write!(f, "it is bound to `{driver}`; bind it to {wanted} to offer it")
            }
            Self::GroupBlocked { group, by } => write!(
                f,
                "VFIO cannot have IOMMU group {group} while the host's drivers use {}; unbind what the host can spare there, or \
                 enable ACS on the bridge above to have separate groups",
                by.join(", ")
            ),
            Self::ControlNode { error } => write!(f, "{error}; load the module `vfio-pci`"),
            Self::Node { group, error } => {
                write!(f, "IOMMU group {group} cannot be used: {error}; bind the VF to its VFIO driver anew")
            }
            Self::UioNode { error } => write!(f, "it cannot be used: {error}; bind the VF to its UIO driver anew"),
            Self::Services { pf, error } => write!(f, "the services of its PF {pf} are not known: {error}"),
            Self::GroupShared { group, with } => write!(
                f,
                "it shares IOMMU group {group} with {with}, which is offered, and VFIO gives a group to one owner; enable ACS \
                 on the bridge above to have separate groups"
            ),
            Self::BeyondCap { cap } => {
                write!(f, "the {cap} VFs that may be offered are offered already; raise the maximum number of devices")
            }
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reason = serializer.serialize_struct("Reason", 2)?;
        reason.serialize_field("code", self.code())?;
        reason.serialize_field("text", &self.to_string())?;
        reason.end()
    }
}
