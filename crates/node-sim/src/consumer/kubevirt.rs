//! KubeVirt: how virt-launcher finds the host devices of a virtual machine.
//!
//! After kubevirt/kubevirt: `pkg/util/util.go` (`ResourceNameToEnvVar`),
//! `pkg/virt-launcher/virtwrap/device/hostdevice/addresspool.go` and `generic/hostdev.go`,
//! `pkg/util/hardware/hw_utils.go`, `pkg/virt-handler/non-root.go`.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use thiserror::Error;

use super::{CONTROL, cdev_of, group_of, has_node, is_address};
use crate::ContainerAnswer;

/// An entry of `spec.domain.devices.hostDevices`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostDevice {
    /// The name of the device in the virtual machine.
    pub name: String,
    /// The resource, `deviceName`.
    pub resource: String,
}

/// A `<hostdev type='pci' managed='no'>` for libvirt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostDev {
    /// The name of the device in the virtual machine.
    pub name: String,
    /// The address on the host.
    pub address: String,
}

/// What QEMU opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backend {
    /// The node of the IOMMU group.
    #[default]
    Group,
    /// The function's own device: the feature gate `IOMMUFD` is on.
    Iommufd,
}

/// Why a virtual machine does not start.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// An address is not as the launcher wants it.
    #[error("failed to create PCI hostdevice {name}: `{address}` is not of the form DDDD:BB:DD.F")]
    Address {
        /// The device.
        name: String,
        /// What the variable holds.
        address: String,
    },
    /// Too few or too many devices were found for what was asked for.
    #[error(
        "the number of device plugin HostDevice/s do not match the number of devices: found {found}, wanted {wanted}"
    )]
    Count {
        /// Found in the variables of PCI, MDEV and USB together.
        found: usize,
        /// Asked for.
        wanted: usize,
    },
    /// QEMU cannot open the device.
    #[error("{address}: `{node}` is not in the container")]
    NoNode {
        /// The address.
        address: String,
        /// The node.
        node: String,
    },
}

/// Finds the devices that a machine asks for, in the order in which it asks.
///
/// `sysfs` is the host's `/sys`.
///
/// # Errors
///
/// [`LaunchError`], when the machine would not start.
pub fn launch(
    wanted: &[HostDevice],
    container: &ContainerAnswer,
    sysfs: &Path,
    backend: Backend,
) -> Result<Vec<HostDev>, LaunchError> {
    let found = pop_all("PCI_RESOURCE", wanted, container);
    let other = ["MDEV_PCI_RESOURCE", "USB_RESOURCE"]
        .map(|prefix| pop_all(prefix, wanted, container).len());
    for HostDev { name, address } in &found {
        if !is_address(address) {
            let (name, address) = (name.clone(), address.clone());
            return Err(LaunchError::Address { name, address });
        }
    }
    let count = found.len() + other.iter().sum::<usize>();
    if count != wanted.len() {
        return Err(LaunchError::Count {
            found: count,
            wanted: wanted.len(),
        });
    }
    for HostDev { address, .. } in &found {
        for node in nodes(sysfs, address, backend) {
            if !has_node(container, &node) {
                let address = address.clone();
                return Err(LaunchError::NoNode { address, node });
            }
        }
    }
    Ok(found)
}

/// The entries of `/dev/vfio` that virt-handler gives to QEMU's user. None without the control node, and nothing
/// that lies deeper.
#[must_use]
pub fn given_to_qemu(container: &ContainerAnswer) -> Vec<String> {
    if !has_node(container, CONTROL) {
        return Vec::new();
    }
    let paths = container
        .devices
        .iter()
        .map(|device| &device.container_path);
    let entries = paths.filter(|path| {
        let name = path.strip_prefix("/dev/vfio/");
        *path != CONTROL && name.is_some_and(|name| !name.contains('/'))
    });
    entries.cloned().collect()
}

/// `ToUpper`, then `/` and `.` become `_`.
fn variable(prefix: &str, resource: &str) -> String {
    format!(
        "{prefix}_{}",
        resource.to_uppercase().replace(['/', '.'], "_")
    )
}

/// Takes an address for each device off the list of its resource, front to back. An address that was taken is taken off
/// every list; a device for which there is none is left out.
fn pop_all(prefix: &str, wanted: &[HostDevice], container: &ContainerAnswer) -> Vec<HostDev> {
    let mut pool: BTreeMap<&str, VecDeque<String>> = BTreeMap::new();
    for device in wanted {
        if let Some(value) = container.envs.get(&variable(prefix, &device.resource)) {
            let list = value.strip_suffix(',').unwrap_or(value).split(',');
            pool.insert(&device.resource, list.map(str::to_owned).collect());
        }
    }
    let mut found = Vec::new();
    for device in wanted {
        let list = pool.get_mut(device.resource.as_str());
        if let Some(address) = list.and_then(VecDeque::pop_front) {
            for list in pool.values_mut() {
                list.retain(|other| *other != address);
            }
            found.push(HostDev {
                name: device.name.clone(),
                address,
            });
        }
    }
    found
}

/// What QEMU opens for a function.
fn nodes(sysfs: &Path, address: &str, backend: Backend) -> Vec<String> {
    match backend {
        Backend::Group => {
            let group = group_of(sysfs, address).unwrap_or_else(|| "<group>".to_owned());
            vec![CONTROL.to_owned(), format!("/dev/vfio/{group}")]
        }
        Backend::Iommufd => {
            let device = cdev_of(sysfs, address).unwrap_or_else(|| "vfio<N>".to_owned());
            vec![format!("/dev/vfio/devices/{device}")]
        }
    }
}
