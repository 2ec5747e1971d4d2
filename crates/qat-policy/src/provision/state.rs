//! What was seen of a PF.

use std::fmt;

use serde::{Deserialize, Serialize};
use sysfs_pci::{DriverName, PciAddress};

use crate::family::Family;
use crate::services::Services;

/// A PF as it is, as far as provisioning goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PfState {
    /// Where it is.
    pub address: PciAddress,
    /// Its family.
    pub family: Family,
    /// The driver that it has.
    pub driver: Option<DriverName>,
    /// How many VFs it can make (`sriov_totalvfs`); `None`: SR-IOV is off.
    pub total_vfs: Option<u16>,
    /// Whether it runs (`qat/state`); `None`: it does not say, as before generation 4 or Linux 6.0.
    pub state: Option<DeviceState>,
    /// What it is configured for; `Ok(None)`: that cannot be chosen or is not told. The error is for people.
    pub services: Result<Option<Services>, String>,
    /// Whether it resets itself after a fatal error (`qat/auto_reset`); `None`: it cannot.
    pub auto_reset: Option<bool>,
    /// Whether new VFs are given to a driver at once (`sriov_drivers_autoprobe`); `None`: it does not say.
    pub autoprobe: Option<bool>,
    /// Its VFs in the order of their numbers.
    pub vfs: Vec<VfState>,
}

/// A VF as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VfState {
    /// Where it is.
    pub address: PciAddress,
    /// The driver that it has.
    pub driver: Option<DriverName>,
    /// Who uses it.
    pub usage: VfUse,
}

/// Who uses a VF.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VfUse {
    /// Nobody.
    Free,
    /// A process has it open.
    Open {
        /// Which, as far as they can be seen, for a sentence.
        by: Vec<String>,
    },
    /// A pod holds it, open or not.
    Held {
        /// Which, for a sentence.
        by: String,
    },
    /// Nobody can be asked.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// Whether a device runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// It does.
    Up,
    /// It does not, and has no VFs. A device that resets itself shows this for a moment.
    Down,
}

impl DeviceState {
    /// The word of `qat/state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    /// Reads the word of `qat/state`.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Up, Self::Down]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

impl fmt::Display for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
