//! Single steps.

use std::fmt;

use serde::Serialize;
use sysfs_pci::{AttributeName, PciAddress, Write};

use super::{DeviceState, VfDriver};
use crate::service::Service;
use crate::services::ServiceSet;

/// One step of a plan. As text it is a line for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PfStep {
    /// Stops or starts the device. To stop it destroys its VFs.
    State {
        /// Which of both.
        to: DeviceState,
    },
    /// Configures what it serves. Only while it is down.
    Services {
        /// What it is to serve.
        set: ServiceSet,
        /// The words that are written.
        words: String,
    },
    /// Says whether new VFs are given to a driver at once.
    Autoprobe {
        /// Whether they are.
        on: bool,
    },
    /// Makes all VFs, and starts the device.
    CreateVfs {
        /// How many.
        total: u16,
    },
    /// Removes all VFs; stops and starts the device by the way.
    RemoveVfs,
    /// Says whether the device resets itself after a fatal error.
    AutoReset {
        /// Whether it does.
        on: bool,
    },
    /// Binds VFs.
    BindVfs {
        /// To what.
        driver: VfDriver,
        /// Which; empty: all that an earlier step makes.
        vfs: Vec<PciAddress>,
    },
}

impl PfStep {
    /// Configures a set of services, in words that every kernel takes which knows the set: those before 6.5
    /// know `sym;asym` and not `asym;sym`.
    #[must_use]
    pub fn services(set: ServiceSet) -> Self {
        let words = if set == ServiceSet::CRYPTO {
            format!("{};{}", Service::Sym, Service::Asym)
        } else {
            set.to_string()
        };
        Self::Services { set, words }
    }

    /// The command to the kernel; `None` for [`BindVfs`](Self::BindVfs), which takes many.
    pub fn command(&self, pf: PciAddress) -> Option<Write> {
        let attribute = |name: &str, value: &str| {
            Some(Write::Attribute {
                address: pf,
                name: name.parse::<AttributeName>().ok()?,
                value: value.to_owned(),
            })
        };
        match self {
            Self::State { to } => attribute("qat/state", to.as_str()),
            Self::Services { words, .. } => attribute("qat/cfg_services", words),
            Self::AutoReset { on } => attribute("qat/auto_reset", on_off(*on)),
            Self::Autoprobe { on } => Some(Write::DriversAutoprobe {
                address: pf,
                on: *on,
            }),
            Self::CreateVfs { total } => Some(Write::NumVfs {
                address: pf,
                count: *total,
            }),
            Self::RemoveVfs => Some(Write::NumVfs {
                address: pf,
                count: 0,
            }),
            Self::BindVfs { .. } => None,
        }
    }

    /// Whether VFs that are there go away.
    pub const fn destroys_vfs(&self) -> bool {
        matches!(
            self,
            Self::RemoveVfs
                | Self::State {
                    to: DeviceState::Down
                }
        )
    }
}

/// The words of `qat/auto_reset`.
pub(super) const fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl fmt::Display for PfStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { to } => match to {
                DeviceState::Up => f.write_str("start the device"),
                DeviceState::Down => f.write_str("stop the device"),
            },
            Self::Services { set, .. } => write!(f, "configure {set}"),
            Self::Autoprobe { on: true } => f.write_str("give new VFs to drivers at once again"),
            Self::Autoprobe { on: false } => f.write_str("keep new VFs from drivers"),
            Self::CreateVfs { total } => write!(f, "make {total} VFs"),
            Self::RemoveVfs => f.write_str("remove the VFs"),
            Self::AutoReset { on } => write!(f, "set auto_reset {}", on_off(*on)),
            Self::BindVfs { driver, vfs } if vfs.is_empty() => {
                write!(f, "bind the VFs to {driver}")
            }
            Self::BindVfs { driver, vfs } => write!(f, "bind {} VFs to {driver}", vfs.len()),
        }
    }
}
