//! Looking at a PF, with reads that cannot block.

use std::path::Path;

use qat_policy::provision::{DeviceState, PfState, VfState, VfUse};
use qat_policy::{DebugfsRoot, Family, FunctionKind, identify, read_pf};
use sysfs_pci::{AttrError, PciAddress, ScanError, Scanner, SysfsRoot, fs};
use vfio_host::bind::Claim;
use vfio_host::{Host, PROC, holders};

use crate::text::chain;

/// Why a PF cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeeError {
    /// There is no such function (any more).
    #[error("there is no PCI function {pf}")]
    Gone {
        /// The PF.
        pf: PciAddress,
    },
    /// It is something else.
    #[error("{pf} is not a physical function of a QAT device")]
    NotQat {
        /// The address.
        pf: PciAddress,
    },
    /// An attribute cannot be read, or makes no sense.
    #[error("cannot look at {pf}")]
    Read {
        /// The PF.
        pf: PciAddress,
        /// What went wrong.
        #[source]
        source: AttrError,
    },
}

/// Finds the QAT PFs of a machine, by address.
///
/// # Errors
///
/// [`ScanError`] when the PCI bus cannot be listed.
pub fn find_pfs(sysfs: &SysfsRoot) -> Result<Vec<(PciAddress, Family)>, ScanError> {
    let snapshot = Scanner::new(sysfs.clone()).scan(&qat_policy::depth)?;
    let functions = snapshot.functions.values();
    Ok(functions
        .filter_map(|function| match identify(function.id)? {
            (family, FunctionKind::Pf) => Some((function.address, family)),
            (_, FunctionKind::Vf) => None,
        })
        .collect())
}

/// Looks at a PF and its VFs. `claim` says who holds a VF.
///
/// # Errors
///
/// [`SeeError`]. That the services cannot be read is none: it is part of what was seen.
pub fn see_pf(
    host: &Host,
    pf: PciAddress,
    family: Family,
    claim: &dyn Fn(PciAddress) -> Claim,
) -> Result<PfState, SeeError> {
    let read = |source: AttrError| {
        if source.is_gone() {
            SeeError::Gone { pf }
        } else {
            SeeError::Read { pf, source }
        }
    };
    let sysfs = &host.sysfs;
    // The address may be of something else by now.
    let id = sysfs_pci::identity(sysfs, pf).map_err(read)?.id;
    if identify(id) != Some((family, FunctionKind::Pf)) {
        return Err(SeeError::NotQat { pf });
    }
    let driver = sysfs_pci::driver(sysfs, pf).map_err(read)?;
    // Only the device itself says what it can be told; debugfs is for lists.
    let no_debugfs = DebugfsRoot::new("/nonexistent");
    let services = read_pf(sysfs, &no_debugfs, pf, driver.as_ref(), family).services;
    let mut vfs = Vec::new();
    for vf in sysfs_pci::vf_links(sysfs, pf).map_err(read)?.into_values() {
        vfs.push(see_vf(host, vf, claim(vf)).map_err(read)?);
    }
    Ok(PfState {
        address: pf,
        family,
        total_vfs: sysfs_pci::total_vfs(sysfs, pf).map_err(read)?,
        state: state(sysfs, pf).map_err(read)?,
        services: services.map_err(|error| chain(&error)),
        auto_reset: auto_reset(sysfs, pf).map_err(read)?,
        autoprobe: sysfs_pci::drivers_autoprobe(sysfs, pf).map_err(read)?,
        driver,
        vfs,
    })
}

fn see_vf(host: &Host, address: PciAddress, claim: Claim) -> Result<VfState, AttrError> {
    let driver = sysfs_pci::driver(&host.sysfs, address)?;
    // A driver of the kernel's own enables its functions all the time.
    let counts = driver
        .as_ref()
        .is_none_or(|driver| host.drivers.contains(driver));
    let open = match sysfs_pci::enable_count(&host.sysfs, address) {
        Ok(count) => counts && count > 0,
        // It goes away just now.
        Err(error) if error.is_gone() => false,
        Err(error) => return Err(error),
    };
    Ok(VfState {
        address,
        driver,
        usage: match claim {
            Claim::Held { by } => VfUse::Held { by },
            _ if open => VfUse::Open {
                by: who_has_open(host, address),
            },
            Claim::Unknown { why } => VfUse::Unknown { why },
            Claim::None => VfUse::Free,
        },
    })
}

/// The processes that have a VF open, as far as this one can see them.
pub(crate) fn who_has_open(host: &Host, address: PciAddress) -> Vec<String> {
    let group = sysfs_pci::iommu_group(&host.sysfs, address).ok().flatten();
    let found = holders(Path::new(PROC), &host.sysfs, address, group);
    found.iter().map(ToString::to_string).collect()
}

/// Reads `qat/state`; `None` if there is no such file.
pub(super) fn state(sysfs: &SysfsRoot, pf: PciAddress) -> Result<Option<DeviceState>, AttrError> {
    let path = sysfs.pci_device(pf).join("qat/state");
    let Some(word) = optional(fs::read_text(&path))? else {
        return Ok(None);
    };
    DeviceState::from_word(&word)
        .map(Some)
        .ok_or_else(|| AttrError::invalid(&path, &word, "`up` or `down`"))
}

/// Reads `qat/auto_reset`; `None` if there is no such file.
pub(super) fn auto_reset(sysfs: &SysfsRoot, pf: PciAddress) -> Result<Option<bool>, AttrError> {
    let path = sysfs.pci_device(pf).join("qat/auto_reset");
    let Some(word) = optional(fs::read_text(&path))? else {
        return Ok(None);
    };
    match word.as_str() {
        "on" => Ok(Some(true)),
        "off" => Ok(Some(false)),
        _ => Err(AttrError::invalid(&path, &word, "`on` or `off`")),
    }
}

fn optional(read: Result<String, AttrError>) -> Result<Option<String>, AttrError> {
    match read {
        Err(error) if error.is_gone() => Ok(None),
        read => read.map(Some),
    }
}
