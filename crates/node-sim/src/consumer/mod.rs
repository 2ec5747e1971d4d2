//! The programs that read what a plugin gave: what would become of a container.
//!
//! A plugin never meets them, and a test of its answer is only as good as the test's opinion of the answer. So the
//! readers are here too, small, and written after the code of the real ones: [`kubevirt`], [`kata`] and [`user_space`]
//! (DPDK, qatlib, images that number their variables). They take the [`ContainerAnswer`] of a pod of
//! [`Kubelet`](crate::Kubelet) and say what a virtual machine or a program would end up with, or the error that it
//! would end with.
//!
//! They look at the same simulated sysfs as the plugin, where the real ones look at the host's.

pub mod kata;
pub mod kubevirt;
pub mod user_space;

use std::fs;
use std::path::Path;

use crate::ContainerAnswer;

/// The control node of VFIO.
const CONTROL: &str = "/dev/vfio/vfio";

/// Whether the container has a node at this path that it may read and write.
fn has_node(container: &ContainerAnswer, path: &str) -> bool {
    let mut devices = container.devices.iter();
    devices.any(|device| {
        device.container_path == path
            && device.permissions.contains('r')
            && device.permissions.contains('w')
    })
}

/// The number of a function's IOMMU group, as the link in sysfs says.
fn group_of(sysfs: &Path, address: &str) -> Option<String> {
    let link = sysfs
        .join("bus/pci/devices")
        .join(address)
        .join("iommu_group");
    let target = fs::read_link(link).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

/// The name of a function's own device of VFIO, `vfio<N>`.
fn cdev_of(sysfs: &Path, address: &str) -> Option<String> {
    let directory = sysfs.join("bus/pci/devices").join(address).join("vfio-dev");
    let entry = fs::read_dir(directory).ok()?.next()?.ok()?;
    entry.file_name().into_string().ok()
}

/// Whether a text is a full PCI address with a domain of four digits.
fn is_address(text: &str) -> bool {
    let hex = |text: &str, digits| {
        text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let parts = |text: &str| {
        let (domain, rest) = text.split_once(':')?;
        let (bus, rest) = rest.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        let plain = hex(domain, 4) && hex(bus, 2) && hex(device, 2);
        Some(plain && matches!(function.as_bytes(), [b'0'..=b'7']))
    };
    parts(text) == Some(true)
}

#[cfg(test)]
mod tests;
