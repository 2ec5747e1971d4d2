//! Why a function is not bound or given back: nothing was changed.

use sysfs_pci::{DriverName, IommuGroupId, PciAddress, PciId};
use thiserror::Error;

use crate::Member;

/// Why a function is not bound or given back. Nothing was changed.
///
/// The text says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BindRefusal {
    /// The caller has not named this id.
    #[error("{address} is a {id}, which is not among the devices to be bound")]
    NotAllowed {
        /// The function.
        address: PciAddress,
        /// What it is.
        id: PciId,
    },
    /// The driver is not there.
    #[error("the driver `{driver}` is not loaded; on the node run `modprobe {driver}`")]
    DriverMissing {
        /// The driver.
        driver: DriverName,
    },
    /// The physical function is itself on a VFIO driver, so that each user of a virtual one needs a token.
    #[error("its physical function {pf} is bound to `{driver}`; bind {pf} to its own driver first")]
    PfOnVfio {
        /// The physical function.
        pf: PciAddress,
        /// Its driver.
        driver: DriverName,
    },
    /// `vfio-pci` refuses the id, for errata of the hardware.
    #[error(
        "`vfio-pci` refuses {id} (denylist, for errata of the hardware); if all its users are trusted, put \
         `vfio-pci.disable_denylist=1` on the kernel's command line, or `options vfio-pci \
         disable_denylist=1` into /etc/modprobe.d and load the module anew"
    )]
    Denylisted {
        /// What it is.
        id: PciId,
    },
    /// The machine has no IOMMU in use.
    #[error(
        "the machine has no active IOMMU; enable it in the firmware and on the kernel's command line \
         (`intel_iommu=on`)"
    )]
    NoIommu,
    /// The machine has one and the function is in no group.
    #[error(
        "it is in no IOMMU group although the machine has an IOMMU; see the kernel's log for what \
         exempts it"
    )]
    NoGroup,
    /// The kernel drives other members of the group for purposes of its own.
    #[error(
        "IOMMU group {group} also holds {}, so VFIO cannot have it; unbind that, or enable ACS on the \
         bridge above to have separate groups",
        members(by)
    )]
    NotViable {
        /// The group.
        group: IommuGroupId,
        /// Those that stand in the way.
        by: Vec<Member>,
    },
    /// The driver that has it is not one that it may be taken from.
    #[error(
        "it is bound to `{driver}`, from which it is not taken; unbind it yourself if it is free"
    )]
    ForeignDriver {
        /// That driver.
        driver: DriverName,
    },
    /// Somebody has it open.
    #[error("a process has it open; `fuser -v /dev/vfio/*` on the node names it")]
    Open,
    /// It has no driver, and its node is still there: an unbind waits for the process that has it open.
    #[error(
        "an unbind of it is waiting in the kernel for a process that has it open; end that process \
         (`fuser -v /dev/vfio/*` on the node names it)"
    )]
    Unbinding,
    /// A pod holds it.
    #[error("it is allocated to {by}; wait until that has ended, or drain the node")]
    Allocated {
        /// Who.
        by: String,
    },
    /// Nobody knows whether a pod holds it.
    #[error("whether a pod holds it is not known: {why}")]
    UseUnknown {
        /// Why not.
        why: String,
    },
}

impl BindRefusal {
    /// A stable short code, for metrics and for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed { .. } => "not-allowed",
            Self::DriverMissing { .. } => "driver-missing",
            Self::PfOnVfio { .. } => "pf-on-vfio",
            Self::Denylisted { .. } => "denylisted",
            Self::NoIommu => "no-iommu",
            Self::NoGroup => "no-iommu-group",
            Self::NotViable { .. } => "group-blocked",
            Self::ForeignDriver { .. } => "foreign-driver",
            Self::Open => "open",
            Self::Unbinding => "unbinding",
            Self::Allocated { .. } => "allocated",
            Self::UseUnknown { .. } => "use-unknown",
        }
    }
}

fn members(by: &[Member]) -> String {
    let names: Vec<_> = by.iter().map(ToString::to_string).collect();
    names.join(", ")
}
