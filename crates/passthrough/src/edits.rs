//! The answer.

use std::collections::{BTreeMap, BTreeSet};

use device_plugin::cdi::qualified_name;
use device_plugin::{ContainerEdits, DeviceNode, Mount};
use sysfs_pci::PciAddress;
use vfio_host::VfioNode;

use crate::functions::{Functions, functions, on_vfio};
use crate::grant::{FunctionNode, Grant};
use crate::info::info;
use crate::names::{kubevirt_variable, sriov_info_variable, sriov_shell_variable, sriov_variable};

/// Reading and writing. Not `m`: nobody in the container has to make a node.
const PERMISSIONS: &str = "rw";

/// What has to be done to a container so that it can use the granted functions.
///
/// The answer depends on what is granted, not on its order: variables and nodes are in address
/// order. A function that is granted twice is granted once. An empty grant gives empty edits.
/// The crate's page says who reads what.
///
/// ```
/// use device_plugin::ResourceName;
/// use passthrough::{Grant, GrantedFunction, edits};
/// use vfio_host::{NodeKind, VfioNode};
///
/// let node = |kind, path: &str| VfioNode {
///     kind,
///     host_path: path.into(),
///     container_path: path.into(),
/// };
/// let resource: ResourceName = "example.com/fast".parse()?;
/// let edits = edits(&Grant {
///     resource: &resource,
///     functions: vec![GrantedFunction {
///         address: "0000:6b:00.1".parse()?,
///         nodes: vec![node(NodeKind::Group, "/dev/vfio/320").into()],
///     }],
///     control: Some(node(NodeKind::Control, "/dev/vfio/vfio")),
///     numbered_prefix: Some(&"FAST".parse()?),
///     cdi_names: false,
/// });
/// assert_eq!(edits.envs["PCI_RESOURCE_EXAMPLE_COM_FAST"], "0000:6b:00.1");
/// assert_eq!(edits.envs["FAST0"], "0000:6b:00.1");
/// assert_eq!(edits.devices.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn edits(grant: &Grant<'_>) -> ContainerEdits {
    let functions = functions(grant);
    if functions.is_empty() {
        return ContainerEdits::default();
    }
    ContainerEdits {
        envs: envs(grant, &functions),
        devices: devices(grant.control.as_ref(), &functions),
        mounts: mounts(&functions),
        cdi_devices: cdi_devices(grant, &functions),
        ..ContainerEdits::default()
    }
}

fn envs(grant: &Grant<'_>, functions: &Functions) -> BTreeMap<String, String> {
    let addresses: Vec<String> = functions.keys().map(PciAddress::to_string).collect();
    let list = addresses.join(",");
    let mut envs = BTreeMap::new();
    if let Some(prefix) = grant.numbered_prefix {
        for (number, address) in addresses.into_iter().enumerate() {
            envs.insert(prefix.variable(number), address);
        }
    }
    if let Some(name) = sriov_shell_variable(grant.resource) {
        envs.insert(name, list.clone());
    }
    envs.insert(kubevirt_variable(grant.resource), list.clone());
    envs.insert(sriov_variable(grant.resource), list);
    envs.insert(
        sriov_info_variable(grant.resource),
        info(functions, grant.control.as_ref()),
    );
    envs
}

/// The control node if a function is on VFIO, then the functions' nodes.
fn devices(control: Option<&VfioNode>, functions: &Functions) -> Vec<DeviceNode> {
    let nodes = functions.values().flatten();
    let control = control.filter(|_| on_vfio(functions)).map(control_device);
    let mut seen = BTreeSet::new();
    control
        .into_iter()
        .chain(nodes.map(device_node))
        .filter(|node| seen.insert(node.container_path.clone()))
        .collect()
}

pub(crate) fn control_device(control: &VfioNode) -> DeviceNode {
    DeviceNode {
        container_path: control.container_path.clone(),
        host_path: control.host_path.clone(),
        permissions: PERMISSIONS.to_owned(),
    }
}

pub(crate) fn device_node(node: &FunctionNode) -> DeviceNode {
    DeviceNode {
        container_path: node.container_path().to_owned(),
        host_path: node.host_path().to_owned(),
        permissions: PERMISSIONS.to_owned(),
    }
}

/// The functions that have a node, by their names in CDI.
fn cdi_devices(grant: &Grant<'_>, functions: &Functions) -> Vec<String> {
    let described = functions
        .iter()
        .filter(|(_, nodes)| grant.cdi_names && !nodes.is_empty());
    described
        .filter_map(|(address, _)| {
            let id = address.to_string().parse().ok()?;
            qualified_name(grant.resource, &id).ok()
        })
        .collect()
}

/// What functions need beside their nodes, each path once.
fn mounts(functions: &Functions) -> Vec<Mount> {
    let mut seen = BTreeSet::new();
    let mounts = functions.values().flatten().filter_map(mount);
    mounts
        .filter(|mount| seen.insert(mount.container_path.clone()))
        .collect()
}

/// The directory that a user of UIO needs beside the node. It is written to as well, where a program
/// maps registers and switches bus mastering on.
pub(crate) fn mount(node: &FunctionNode) -> Option<Mount> {
    match node {
        FunctionNode::Vfio(_) => None,
        FunctionNode::Uio(node) => Some(Mount {
            container_path: node.attributes.clone(),
            host_path: node.attributes.clone(),
            read_only: false,
        }),
    }
}

#[cfg(test)]
mod tests;
