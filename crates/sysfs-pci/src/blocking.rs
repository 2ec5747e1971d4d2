//! Attributes whose read can wait for ever.
//!
//! The kernel holds a device's lock while it unbinds the device from its driver. An unbind from
//! vfio-pci waits for the process that has the function open, without end
//! (`vfio_unregister_group_dev`). Whoever reads an attribute that takes the same lock waits with
//! it, in a state that no signal ends:
//!
//! - `driver_override` and `uevent` of a function whose unbind is stuck (the former on kernels
//!   before the generic `driver_override` of 2026),
//! - `sriov_numvfs` of a physical function whose virtual functions are being removed. To know how
//!   many there are, count the `virtfnN` links instead: [`crate::Sriov::vfs`].
//!
//! Writes can wait as well, and all of them are in [`crate::Write`].
//!
//! A thread in that state keeps its process from exiting. So these reads ask for a
//! [`MayBlock`], which only code makes that can be abandoned as a whole: a child process with a
//! deadline, a short-lived command that a person can interrupt and leave behind.

use std::collections::BTreeMap;

use crate::address::PciAddress;
use crate::driver::DriverName;
use crate::error::AttrError;
use crate::fs::{read_number, read_text};
use crate::root::SysfsRoot;

/// Proof that the caller knows that a read may never return and can be abandoned.
#[derive(Debug)]
pub struct MayBlock(());

impl MayBlock {
    /// States that the caller can be abandoned in the middle of a read.
    #[must_use]
    pub fn acknowledged() -> Self {
        Self(())
    }
}

/// Reads which driver alone may bind to a function (`driver_override`).
///
/// Unset reads `(null)` and can be written empty; both are `Ok(None)`. A driver with the name
/// `(null)` could not be told apart. Costs three calls.
///
/// # Errors
///
/// Any [`AttrError`]; [`AttrError::is_gone`] means that there is no such function.
pub fn driver_override(
    _: &MayBlock,
    root: &SysfsRoot,
    address: PciAddress,
) -> Result<Option<DriverName>, AttrError> {
    let path = root.pci_device(address).join("driver_override");
    match read_text(&path)?.as_str() {
        "" | "(null)" => Ok(None),
        name => name
            .parse()
            .map(Some)
            .map_err(|error| AttrError::unparsed(&path, error)),
    }
}

/// Reads how many virtual functions a physical function has (`sriov_numvfs`).
///
/// Costs three calls.
///
/// # Errors
///
/// Any [`AttrError`]; [`AttrError::Missing`] without SR-IOV.
pub fn num_vfs(_: &MayBlock, root: &SysfsRoot, address: PciAddress) -> Result<u16, AttrError> {
    read_number(&root.pci_device(address).join("sriov_numvfs"))
}

/// Reads what the kernel would say about a function in a uevent: `KEY=value` lines.
///
/// Has `DRIVER` only while a driver is bound. Lines without `=` are left out. Costs three calls.
///
/// # Errors
///
/// [`AttrError::Missing`], [`AttrError::Vanished`], [`AttrError::Read`] or [`AttrError::NotText`].
pub fn uevent(
    _: &MayBlock,
    root: &SysfsRoot,
    address: PciAddress,
) -> Result<BTreeMap<String, String>, AttrError> {
    let text = read_text(&root.pci_device(address).join("uevent"))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect())
}
