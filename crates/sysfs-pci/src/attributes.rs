//! Single attributes of a function that can be read without waiting for anybody.
//!
//! The kernel answers each of these reads from memory and without the device's lock, so they work
//! in the middle of an unbind that never ends. The others are in [`crate::blocking`].

use std::collections::BTreeMap;
use std::path::Path;

use crate::address::PciAddress;
use crate::cpus::CpuList;
use crate::driver::DriverName;
use crate::error::AttrError;
use crate::fs::{Base, link_value, list, read_bytes, read_number, read_text, read_text_at};
use crate::identity::Identity;
use crate::numbers::{IommuGroupId, NumaNode, VfIndex};
use crate::root::SysfsRoot;

/// Reads vendor, device, subsystem and class of a function from `modalias`.
///
/// Costs three calls.
///
/// # Errors
///
/// Any [`AttrError`]; [`AttrError::is_gone`] means that there is no such function.
pub fn identity(root: &SysfsRoot, address: PciAddress) -> Result<Identity, AttrError> {
    identity_at(Base::cwd(), &root.pci_device(address))
}

/// Reads which driver is bound to a function: the name that its `driver` link points to.
///
/// Costs one call. `Ok(None)` if there is no such link: no driver, or no such function.
///
/// # Errors
///
/// [`AttrError::Read`], or [`AttrError::Invalid`] if the link names no driver.
pub fn driver(root: &SysfsRoot, address: PciAddress) -> Result<Option<DriverName>, AttrError> {
    driver_at(Base::cwd(), &root.pci_device(address))
}

/// Reads the IOMMU group of a function: the number that its `iommu_group` link points to.
///
/// Costs one call. `Ok(None)` if there is no such link: no IOMMU, or no such function.
///
/// # Errors
///
/// [`AttrError::Read`], or [`AttrError::Invalid`] if the link names no group.
pub fn iommu_group(
    root: &SysfsRoot,
    address: PciAddress,
) -> Result<Option<IommuGroupId>, AttrError> {
    iommu_group_at(Base::cwd(), &root.pci_device(address))
}

/// Reads which physical function a virtual function belongs to, from its `physfn` link.
///
/// Costs one call. `Ok(None)` if there is no such link: not a virtual function of this machine.
///
/// # Errors
///
/// [`AttrError::Read`], or [`AttrError::Invalid`] if the link names no address.
pub fn physfn(root: &SysfsRoot, address: PciAddress) -> Result<Option<PciAddress>, AttrError> {
    physfn_at(Base::cwd(), &root.pci_device(address))
}

/// Reads the NUMA node of a function.
///
/// Costs three calls. `Ok(None)` where sysfs has -1 (the firmware does not say) and where the file
/// is missing (a kernel without NUMA, or no such function).
///
/// # Errors
///
/// [`AttrError::Read`], [`AttrError::NotText`] or [`AttrError::Invalid`].
pub fn numa_node(root: &SysfsRoot, address: PciAddress) -> Result<Option<NumaNode>, AttrError> {
    numa_node_at(Base::cwd(), &root.pci_device(address))
}

/// Reads which CPUs are near a function (`local_cpulist`); all of them if its node is not known.
///
/// Costs three calls.
///
/// # Errors
///
/// Any [`AttrError`].
pub fn local_cpus(root: &SysfsRoot, address: PciAddress) -> Result<CpuList, AttrError> {
    let path = root.pci_device(address).join("local_cpulist");
    let text = read_text(&path)?;
    text.parse()
        .map_err(|error| AttrError::unparsed(&path, error))
}

/// Reads how often a function is enabled (`enable`).
///
/// With a driver of the kernel this is 1 or more. With vfio-pci it is 0 while nobody has the
/// function open and 1 while somebody has, which makes it the test for "in use".
///
/// Costs three calls.
///
/// # Errors
///
/// Any [`AttrError`].
pub fn enable_count(root: &SysfsRoot, address: PciAddress) -> Result<u32, AttrError> {
    read_number(&root.pci_device(address).join("enable"))
}

/// Reads whether a function answers on the bus: the first four bytes of its configuration space (`config`) are
/// not all ones, which is what a read gets that nobody answers.
///
/// Not to be asked of a virtual function: its own vendor and device read as all ones by the SR-IOV
/// specification (3.4.1.1). While the kernel resets the function the read waits for the end of that, mostly well below a
/// second, and up to a minute for a device that does not come back; a kernel that waits for a user of the function does not stand in the way.
///
/// Costs three calls.
///
/// # Errors
///
/// Any [`AttrError`]; [`AttrError::Invalid`] if there are fewer than four bytes.
pub fn is_on_the_bus(root: &SysfsRoot, address: PciAddress) -> Result<bool, AttrError> {
    let path = root.pci_device(address).join("config");
    let bytes = read_bytes(&path)?;
    let Some(ids) = bytes.first_chunk::<4>() else {
        let found = format!("{} bytes", bytes.len());
        return Err(AttrError::invalid(&path, &found, "at least 4 bytes"));
    };
    Ok(*ids != [0xff; 4])
}

/// Reads how many virtual functions a physical function can have (`sriov_totalvfs`).
///
/// Costs three calls. `Ok(None)` if the file is missing: no SR-IOV, or it is switched off.
///
/// # Errors
///
/// [`AttrError::Read`], [`AttrError::NotText`] or [`AttrError::Invalid`].
pub fn total_vfs(root: &SysfsRoot, address: PciAddress) -> Result<Option<u16>, AttrError> {
    optional(read_number(
        &root.pci_device(address).join("sriov_totalvfs"),
    ))
}

/// Reads how far the first virtual function is from its physical function (`sriov_offset`), in
/// routing ids.
///
/// For display: to find a virtual function follow its `virtfnN` link, never compute.
/// Costs three calls. `Ok(None)` if the file is missing.
///
/// # Errors
///
/// [`AttrError::Read`], [`AttrError::NotText`] or [`AttrError::Invalid`].
pub fn vf_offset(root: &SysfsRoot, address: PciAddress) -> Result<Option<u16>, AttrError> {
    optional(read_number(&root.pci_device(address).join("sriov_offset")))
}

/// Reads how far each virtual function is from the one before (`sriov_stride`), in routing ids.
///
/// For display, as [`vf_offset`]. Costs three calls. `Ok(None)` if the file is missing.
///
/// # Errors
///
/// [`AttrError::Read`], [`AttrError::NotText`] or [`AttrError::Invalid`].
pub fn vf_stride(root: &SysfsRoot, address: PciAddress) -> Result<Option<u16>, AttrError> {
    optional(read_number(&root.pci_device(address).join("sriov_stride")))
}

/// Reads whether virtual functions that are made are given to a driver at once
/// (`sriov_drivers_autoprobe`, Linux 4.12).
///
/// Costs three calls. `Ok(None)` if the file is missing.
///
/// # Errors
///
/// [`AttrError::Read`], [`AttrError::NotText`] or [`AttrError::Invalid`].
pub fn drivers_autoprobe(root: &SysfsRoot, address: PciAddress) -> Result<Option<bool>, AttrError> {
    let path = root.pci_device(address).join("sriov_drivers_autoprobe");
    optional(read_number::<u8>(&path).map(|number| number != 0))
}

/// Follows the `virtfnN` links of a physical function: its virtual functions by number.
///
/// A number that `sriov_numvfs` would say too, without waiting for anybody. Costs one listing, and one
/// call for each. A link that goes away meanwhile is left out.
///
/// # Errors
///
/// Any [`AttrError`]; [`AttrError::is_gone`] means that there is no such function.
pub fn vf_links(
    root: &SysfsRoot,
    address: PciAddress,
) -> Result<BTreeMap<VfIndex, PciAddress>, AttrError> {
    let directory = root.pci_device(address);
    let mut vfs = BTreeMap::new();
    for entry in list(&directory)? {
        let Some(index) = VfIndex::from_link_name(&entry.name) else {
            continue;
        };
        let path = directory.join(&entry.name);
        if let Some(vf) = link_value(Base::cwd(), &path, "a link to a PCI function")? {
            vfs.insert(index, vf);
        }
    }
    Ok(vfs)
}

pub(crate) fn identity_at(base: Base<'_>, entry: &Path) -> Result<Identity, AttrError> {
    let path = entry.join("modalias");
    let text = read_text_at(base, &path)?;
    text.parse()
        .map_err(|error| AttrError::unparsed(&base.full(&path), error))
}

pub(crate) fn driver_at(base: Base<'_>, entry: &Path) -> Result<Option<DriverName>, AttrError> {
    link_value(base, &entry.join("driver"), "a link to a driver")
}

pub(crate) fn iommu_group_at(
    base: Base<'_>,
    entry: &Path,
) -> Result<Option<IommuGroupId>, AttrError> {
    link_value(base, &entry.join("iommu_group"), "a link to an IOMMU group")
}

pub(crate) fn physfn_at(base: Base<'_>, entry: &Path) -> Result<Option<PciAddress>, AttrError> {
    link_value(base, &entry.join("physfn"), "a link to a PCI function")
}

pub(crate) fn numa_node_at(base: Base<'_>, entry: &Path) -> Result<Option<NumaNode>, AttrError> {
    let path = entry.join("numa_node");
    match read_text_at(base, &path) {
        Ok(text) if text == "-1" => Ok(None),
        Ok(text) => text
            .parse()
            .map(Some)
            .map_err(|error| AttrError::unparsed(&base.full(&path), error)),
        Err(error) => optional(Err(error)),
    }
}

/// Makes "not there" an answer.
fn optional<T>(result: Result<T, AttrError>) -> Result<Option<T>, AttrError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}
