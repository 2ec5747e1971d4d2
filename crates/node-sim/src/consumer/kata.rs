//! Kata Containers: what becomes a device of the guest, and what the container reads in there.
//!
//! After kata-containers/kata-containers: `src/runtime/pkg/device/manager/utils.go`,
//! `src/runtime/pkg/device/drivers/{vfio,utils}.go`, `src/runtime/pkg/containerd-shim-v2/device_cold_plug.go`,
//! `src/libs/pod-resources-rs/src/lib.rs`, `src/agent/src/device/mod.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use thiserror::Error;

use super::{CONTROL, is_address};
use crate::ContainerAnswer;

/// Classes of bridges, which are not plugged.
const BRIDGES: [&str; 2] = ["0x0600", "0x0604"];

/// The option `hot_plug_vfio`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// `no-port`, the default.
    None,
    /// `root-port`.
    Root,
}

/// One of the two runtimes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runtime {
    /// `src/runtime`.
    Go,
    /// `src/runtime-rs`.
    Rust,
}

/// What the runtime makes of the nodes of a container.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plugged {
    /// The functions that the guest gets, by their addresses on the host.
    pub functions: Vec<String>,
    /// Nodes that are no device of VFIO and stay in the container's specification with the host's numbers.
    pub generic: Vec<String>,
}

/// Why a pod does not start.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum KataError {
    /// Nothing may be plugged.
    #[error("cold_plug_vfio= or hot_plug_vfio= port is not set for device {node}")]
    NoPort {
        /// The node.
        node: String,
    },
    /// A function would be plugged a second time, which QEMU refuses.
    #[error("{address} is plugged twice, the second time for `{node}`")]
    Twice {
        /// The function.
        address: String,
        /// The node.
        node: String,
    },
    /// A node leads to no function.
    #[error("Invalid VFIO group path: {node}")]
    NotVfio {
        /// The node.
        node: String,
    },
    /// A device is in no file of CDI.
    #[error("unresolvable CDI devices {name}")]
    Unresolvable {
        /// The qualified name.
        name: String,
    },
}

/// Plugs the devices of a container while the guest runs.
///
/// # Errors
///
/// [`KataError`], when the pod would not start.
pub fn hot_plug(
    container: &ContainerAnswer,
    sysfs: &Path,
    port: Port,
) -> Result<Plugged, KataError> {
    let mut plugged = Plugged::default();
    for device in &container.devices {
        let node = &device.container_path;
        if !is_vfio_device(node) {
            if node != CONTROL {
                plugged.generic.push(node.clone());
            }
            continue;
        }
        if port == Port::None {
            return Err(KataError::NoPort { node: node.clone() });
        }
        plug(&mut plugged.functions, node, sysfs)?;
    }
    Ok(plugged)
}

/// Plugs, before the guest boots, the devices that pod resources tell of: resource and device IDs. Looks them up in
/// the CDI files of a directory.
///
/// # Errors
///
/// [`KataError`], when the sandbox would not start.
pub fn cold_plug(
    runtime: Runtime,
    devices: &BTreeMap<String, Vec<String>>,
    cdi: &Path,
    sysfs: &Path,
) -> Result<Vec<String>, KataError> {
    let files = cdi_files(cdi);
    let mut functions = Vec::new();
    for (resource, ids) in devices {
        for id in ids {
            let unresolvable = || KataError::Unresolvable {
                name: format!("{resource}={id}"),
            };
            let file = files.iter().find(|file| file["kind"] == **resource);
            let file = file.ok_or_else(unresolvable)?;
            let described = file["devices"].as_array().into_iter().flatten();
            let mut named = described.filter(|device| device["name"] == **id);
            let device = named.next().ok_or_else(unresolvable)?;
            for node in nodes(&device["containerEdits"]) {
                match runtime {
                    // It goes through the same filter as the nodes of a container.
                    Runtime::Go if !is_vfio_device(&node) => {}
                    Runtime::Go | Runtime::Rust => plug(&mut functions, &node, sysfs)?,
                }
            }
        }
    }
    Ok(functions)
}

/// The environment in the guest: the agent puts the guest's addresses in the place of the host's, where it knows how.
#[must_use]
pub fn guest_env(
    host: &BTreeMap<String, String>,
    addresses: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut guest = host.clone();
    for (name, value) in host {
        if !name.starts_with("PCIDEVICE_") || name.ends_with("_INFO") {
            continue;
        }
        let mapped: Option<Vec<(&str, &String)>> = value
            .split(',')
            .map(|one| Some((one, addresses.get(one).filter(|_| is_address(one))?)))
            .collect();
        let Some(mapped) = mapped else { continue };
        let list: Vec<&str> = mapped.iter().map(|(_, guest)| guest.as_str()).collect();
        guest.insert(name.clone(), list.join(","));
        let info = format!("{name}_INFO");
        if let Some(text) = host.get(&info) {
            let text = mapped.iter().fold(text.clone(), |text, (host, guest)| {
                text.replace(host, guest)
            });
            guest.insert(info, text);
        }
    }
    guest
}

/// `IsVFIODevice`: below `/dev/vfio/`, and not beginning like the control node.
fn is_vfio_device(path: &str) -> bool {
    path.starts_with("/dev/vfio/") && !path.starts_with(CONTROL)
}

fn plug(functions: &mut Vec<String>, node: &str, sysfs: &Path) -> Result<(), KataError> {
    let found = behind(node, sysfs);
    if found.is_empty() {
        return Err(KataError::NotVfio {
            node: node.to_owned(),
        });
    }
    for address in found {
        if functions.contains(&address) {
            let node = node.to_owned();
            return Err(KataError::Twice { address, node });
        }
        functions.push(address);
    }
    Ok(())
}

/// The functions behind a node: all of a group but bridges, or the one of a device.
fn behind(node: &str, sysfs: &Path) -> BTreeSet<String> {
    let names = |directory: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    };
    let name = node.rsplit('/').next().unwrap_or_default();
    if node.starts_with("/dev/vfio/devices/") {
        let all = names(&sysfs.join("bus/pci/devices")).into_iter();
        let has = |address: &String| super::cdev_of(sysfs, address).as_deref() == Some(name);
        return all.filter(has).collect();
    }
    let members = names(&sysfs.join("kernel/iommu_groups").join(name).join("devices"));
    let plain = |address: &String| {
        let class = sysfs.join("bus/pci/devices").join(address).join("class");
        let class = fs::read_to_string(class).unwrap_or_default();
        !BRIDGES.iter().any(|bridge| class.starts_with(bridge))
    };
    members.into_iter().filter(plain).collect()
}

/// What the files of a directory say. Comments before the JSON are skipped, as a parser of YAML does.
fn cdi_files(directory: &Path) -> Vec<Value> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts
        .filter_map(|text| {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            serde_json::from_str(&lines.collect::<String>()).ok()
        })
        .collect()
}

fn nodes(edits: &Value) -> Vec<String> {
    let nodes = edits["deviceNodes"].as_array().into_iter().flatten();
    let paths = nodes.filter_map(|node| {
        let path = node["hostPath"].as_str();
        path.or_else(|| node["path"].as_str()).map(str::to_owned)
    });
    paths.collect()
}
