//! What is wanted of a PF.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{PfBefore, PfState};
use crate::services::ServiceSet;

/// What is wanted of a PF. What is not said is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PfGoal {
    /// What it is to be configured for.
    pub services: Option<ServiceSet>,
    /// Whether it is to reset itself after a fatal error.
    pub auto_reset: Option<bool>,
    /// Which VFs it is to have.
    pub vfs: VfsGoal,
    /// What its VFs are to be bound to.
    pub driver: Option<VfDriver>,
    /// Whether new VFs are to be given to a driver at once, when all is done.
    pub autoprobe: Option<bool>,
}

impl PfGoal {
    /// The goal of a run that goes on where another was cut off. `before` is what the other has found.
    ///
    /// VFs that were to be kept may be destroyed and not yet made anew, and the automatic probe may be off.
    #[must_use]
    pub fn resumed(&self, before: &PfBefore, pf: &PfState) -> Self {
        let lost = self.vfs == VfsGoal::Keep && pf.vfs.is_empty() && before.vfs > 0;
        Self {
            vfs: if lost { VfsGoal::All } else { self.vfs },
            autoprobe: self.autoprobe.or(before.autoprobe),
            ..self.clone()
        }
    }
}

/// Which VFs a PF is to have. A driver makes all or none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VfsGoal {
    /// All.
    All,
    /// None.
    None,
    /// Those that it has.
    #[default]
    Keep,
}

/// What VFs can be bound to. A VF that is on any VFIO driver counts as bound.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum VfDriver {
    /// The generic VFIO driver.
    #[serde(rename = "vfio-pci")]
    VfioPci,
    /// The variant with live migration, for generation 4 (Linux 6.10) and 6 (6.17).
    #[serde(rename = "qat_vfio_pci")]
    QatVfioPci,
}

/// A text that names no driver for VFs.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown driver `{value}`; known are: vfio-pci, qat_vfio_pci")]
pub struct UnknownVfDriver {
    /// What was given.
    pub value: String,
}

impl VfDriver {
    /// The driver's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VfioPci => "vfio-pci",
            Self::QatVfioPci => "qat_vfio_pci",
        }
    }
}

impl fmt::Display for VfDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for VfDriver {
    type Err = UnknownVfDriver;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::VfioPci, Self::QatVfioPci]
            .into_iter()
            .find(|driver| driver.as_str() == text)
            .ok_or_else(|| UnknownVfDriver {
                value: text.to_owned(),
            })
    }
}
