//! Why nothing is planned for a PF.

use std::fmt;

use sysfs_pci::{DriverName, PciAddress};
use thiserror::Error;

use super::VfUse;
use crate::family::Family;
use crate::services::ServiceSet;
use crate::support::ServiceSupport;

/// Why nothing is planned for a PF. Nothing was changed. The text says what to do.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PfRefusal {
    /// It has no driver.
    #[error(
        "no driver is bound; load the module `{module}`, and see the kernel's log if it is loaded (missing \
         firmware makes it refuse the device)"
    )]
    Unbound {
        /// The module of its driver.
        module: &'static str,
    },
    /// It has another driver than its own.
    #[error("it is bound to `{driver}`; bind it to `{expected}`")]
    WrongDriver {
        /// The driver that it has.
        driver: DriverName,
        /// The driver that it should have.
        expected: &'static str,
    },
    /// SR-IOV is off.
    #[error("SR-IOV is off; enable it in the firmware of the machine")]
    SriovOff,
    /// Some VFs are there and others not.
    #[error(
        "it has {found} of its {total} VFs, and a QAT driver makes all or none: somebody is making or \
         removing them, or an earlier removal waits for a process that has one open; see who, and try again"
    )]
    SomeVfs {
        /// How many are there.
        found: usize,
        /// How many it makes.
        total: u16,
    },
    /// Services of this family cannot be chosen.
    #[error(
        "the services of a {family} cannot be chosen: it does everything it can; leave `services` out for it"
    )]
    FixedServices {
        /// The family.
        family: Family,
    },
    /// The device cannot serve that set.
    #[error("a {family} cannot serve `{wanted}`; it can: {}", list(*support))]
    LacksServices {
        /// The family.
        family: Family,
        /// What was wanted.
        wanted: ServiceSet,
        /// What it can.
        support: ServiceSupport,
    },
    /// The kernel has no attribute for that.
    #[error("the kernel has no `qat/{attribute}` for it; use Linux {since} or newer")]
    NoAttribute {
        /// The attribute.
        attribute: &'static str,
        /// Since when there is one.
        since: &'static str,
    },
    /// Its services should be readable and are not.
    #[error("its services are not known: {error}")]
    Services {
        /// Why not.
        error: String,
    },
    /// VFs would be destroyed or taken that are in use, or may be.
    #[error(
        "{} in use: {}; drain the node, or wait until they are free",
        count(vfs),
        listed(vfs)
    )]
    InUse {
        /// They.
        vfs: Vec<InUse>,
    },
    /// A VF is on a driver from which it is not taken.
    #[error("VF {vf} is bound to `{driver}`; unbind it yourself if it is free")]
    ForeignVf {
        /// The VF.
        vf: PciAddress,
        /// Its driver.
        driver: DriverName,
    },
}

/// A VF that is in use, or may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InUse {
    /// The VF.
    pub vf: PciAddress,
    /// Who uses it.
    pub usage: VfUse,
}

impl PfRefusal {
    /// A stable short code, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unbound { .. } => "unbound",
            Self::WrongDriver { .. } => "wrong-driver",
            Self::SriovOff => "sriov-off",
            Self::SomeVfs { .. } => "some-vfs",
            Self::FixedServices { .. } => "fixed-services",
            Self::LacksServices { .. } => "lacks-services",
            Self::NoAttribute { .. } => "no-attribute",
            Self::Services { .. } => "services",
            Self::InUse { .. } => "in-use",
            Self::ForeignVf { .. } => "foreign-vf",
        }
    }
}

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.vf)?;
        match &self.usage {
            VfUse::Free => f.write_str("(free)"),
            VfUse::Open { by } if by.is_empty() => {
                f.write_str("(open in a process; `fuser -v /dev/vfio/*` on the node names it)")
            }
            VfUse::Open { by } => write!(f, "(open in {})", by.join(", ")),
            VfUse::Held { by } => write!(f, "({by})"),
            VfUse::Unknown { why } => write!(f, "(not known: {why})"),
        }
    }
}

fn count(vfs: &[InUse]) -> String {
    match vfs.len() {
        1 => "1 VF is".to_owned(),
        many => format!("{many} VFs are"),
    }
}

/// The first few; those that differ in nothing but the address are many.
fn listed(vfs: &[InUse]) -> String {
    const SHOWN: usize = 4;
    let mut text: Vec<String> = vfs.iter().take(SHOWN).map(ToString::to_string).collect();
    if vfs.len() > SHOWN {
        text.push(format!("and {} more", vfs.len() - SHOWN));
    }
    text.join(", ")
}

fn list(support: ServiceSupport) -> String {
    let sets: Vec<String> = support.allowed().iter().map(ToString::to_string).collect();
    sets.join(", ")
}
