//! Which attribute a path is.

use std::{
    ffi::OsStr,
    path::{Component, Path},
};

use sysfs_pci::PciAddress;

use super::super::{Machine, qat, tree::Tree};

/// An attribute that does something when it is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// `bus/pci/drivers/<name>/bind`
    Bind(String),
    /// `bus/pci/drivers/<name>/unbind`
    Unbind(String),
    /// `bus/pci/drivers_probe`
    Probe,
    /// An attribute of a function.
    Of(PciAddress, Knob),
}

/// An attribute of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Knob {
    Override,
    NumVfs,
    Autoprobe,
    State,
    Services,
    AutoReset,
    PmIdle,
    ResetErrors,
}

/// The names of them, below the directory of the function.
const KNOBS: [(&str, Knob); 8] = [
    ("driver_override", Knob::Override),
    ("sriov_numvfs", Knob::NumVfs),
    ("sriov_drivers_autoprobe", Knob::Autoprobe),
    (qat::STATE, Knob::State),
    (qat::SERVICES, Knob::Services),
    (qat::AUTO_RESET, Knob::AutoReset),
    (qat::PM_IDLE, Knob::PmIdle),
    ("qat_ras/reset_error_counters", Knob::ResetErrors),
];

impl Target {
    /// What a path below `/sys` is, in which no directory is a link. Nothing if writes to it do nothing.
    pub(super) fn parse(machine: &Machine, path: &Path) -> Option<Self> {
        if path == Path::new("bus/pci/drivers_probe") {
            return Some(Self::Probe);
        }
        if let Ok(rest) = path.strip_prefix("bus/pci/drivers") {
            let parts: Vec<&OsStr> = rest.iter().collect();
            let [driver, command] = parts.as_slice() else {
                return None;
            };
            let driver = driver.to_str()?.to_owned();
            return match command.to_str()? {
                "bind" => Some(Self::Bind(driver)),
                "unbind" => Some(Self::Unbind(driver)),
                _ => None,
            };
        }
        let (address, name) = function(machine, path)?;
        let (_, knob) = KNOBS.iter().find(|(of, _)| name == Path::new(of))?;
        Some(Self::Of(address, *knob))
    }

    /// Whether it only takes commands, and is empty between them.
    pub(super) fn is_command(&self) -> bool {
        matches!(
            self,
            Self::Bind(_) | Self::Unbind(_) | Self::Probe | Self::Of(_, Knob::ResetErrors)
        )
    }
}

/// The function that a path below `/sys` belongs to, and the rest of the path.
pub(super) fn function<'a>(machine: &Machine, path: &'a Path) -> Option<(PciAddress, &'a Path)> {
    let mut addresses = path.components().filter_map(|component| match component {
        Component::Normal(name) => name.to_str()?.parse::<PciAddress>().ok(),
        _ => None,
    });
    // The last one: a bridge's directory holds those of what is behind it.
    let address = addresses.next_back()?;
    machine.functions.get(&address)?;
    let rest = path.strip_prefix(Tree::device_dir(machine, address)).ok()?;
    Some((address, rest))
}
