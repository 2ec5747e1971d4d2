//! What is told while it goes on.

use qat_policy::provision::PfStep;
use serde::Serialize;
use sysfs_pci::PciAddress;

/// What is told while it goes on. In serde a struct with the tag `event`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// What was found is recorded. Nothing was changed before.
    Recorded {
        /// The PF.
        pf: PciAddress,
    },
    /// A step begins.
    Begins {
        /// The PF.
        pf: PciAddress,
        /// The step.
        #[serde(flatten)]
        step: PfStep,
        /// Whether it is part of a way back.
        back: bool,
    },
    /// A step is done, and was read back.
    Ends {
        /// The PF.
        pf: PciAddress,
        /// The step.
        #[serde(flatten)]
        step: PfStep,
        /// Whether it is part of a way back.
        back: bool,
    },
    /// A VF is bound.
    Bound {
        /// The PF.
        pf: PciAddress,
        /// The VF.
        vf: PciAddress,
    },
    /// A VF is as it was.
    Restored {
        /// The PF.
        pf: PciAddress,
        /// The VF.
        vf: PciAddress,
    },
    /// A VF could not be bound or restored.
    VfFailed {
        /// The PF.
        pf: PciAddress,
        /// The VF.
        vf: PciAddress,
        /// Why.
        why: String,
    },
    /// A step failed for a reason that may pass, and is tried again.
    Again {
        /// The PF.
        pf: PciAddress,
        /// Why.
        why: String,
    },
}
