//! Rules about device nodes.

use std::collections::BTreeSet;
use std::path::Path;

use device_plugin::DeviceNode;

use super::{Answer, Problem};
use crate::VfioInterface;

const CONTROL: &str = "/dev/vfio/vfio";
const CDEVS: &str = "/dev/vfio/devices/vfio";

pub(super) fn control(answer: &Answer<'_>) -> Vec<Problem> {
    let on_vfio = answer.functions.iter().any(|f| f.group.is_some());
    match answer.interface {
        VfioInterface::None => vec![left_out(answer, "nodes of VFIO")],
        _ if on_vfio => missing(answer, CONTROL),
        _ => Vec::new(),
    }
}

pub(super) fn groups(answer: &Answer<'_>) -> Vec<Problem> {
    let has_cdevs = answer.edits.devices.iter().any(is_cdev);
    if answer.interface == VfioInterface::None
        || (answer.interface == VfioInterface::Cdev && has_cdevs)
    {
        return vec![left_out(answer, "the nodes of IOMMU groups")];
    }
    let groups: BTreeSet<_> = answer.functions.iter().filter_map(|f| f.group).collect();
    groups
        .into_iter()
        .flat_map(|group| missing(answer, &format!("/dev/vfio/{group}")))
        .collect()
}

pub(super) fn cdevs(answer: &Answer<'_>) -> Vec<Problem> {
    if !answer.interface.wants_cdev() {
        return vec![left_out(answer, "character devices of VFIO")];
    }
    let all = answer.addresses().len();
    let there = answer.edits.devices.iter().filter(|node| is_cdev(node));
    let count = all.saturating_sub(there.count());
    if count == 0 {
        Vec::new()
    } else {
        vec![Problem::NoCdev { count, all }]
    }
}

pub(super) fn one_each(answer: &Answer<'_>) -> Vec<Problem> {
    if answer.interface == VfioInterface::None {
        return vec![left_out(answer, "nodes of VFIO")];
    }
    let nodes = answer
        .edits
        .devices
        .iter()
        .filter(|node| is_vfio_device(&node.container_path));
    let nodes = nodes.count();
    let functions = answer.addresses().len();
    match nodes {
        0 => vec![Problem::NoNode {
            path: "/dev/vfio/<group>".into(),
        }],
        _ if nodes > functions => vec![Problem::Twice { functions, nodes }],
        _ => Vec::new(),
    }
}

pub(super) fn no_companions(answer: &Answer<'_>) -> Vec<Problem> {
    // A function that comes by its own device comes alone.
    let by_group = answer
        .edits
        .devices
        .iter()
        .any(|node| is_vfio_device(&node.container_path) && !is_cdev(node));
    let allocated = answer.addresses();
    let functions = answer.functions.iter().filter(|_| by_group);
    functions
        .filter_map(|function| {
            let others = function.companions.iter();
            let others: Vec<_> = others
                .filter(|other| !allocated.contains(other))
                .copied()
                .collect();
            (!others.is_empty()).then_some(Problem::Companions {
                address: function.address,
                others,
            })
        })
        .collect()
}

pub(super) fn no_iommu(answer: &Answer<'_>) -> Vec<Problem> {
    let path = Path::new("/dev/iommu");
    let found = answer
        .edits
        .devices
        .iter()
        .find(|node| node.container_path == path);
    found
        .map(|node| Problem::Harmful {
            path: node.container_path.clone(),
            harm: "and it would take it into the guest as a device of its own",
        })
        .into_iter()
        .collect()
}

pub(super) fn not_uio(answer: &Answer<'_>) -> Vec<Problem> {
    let nodes = answer.edits.devices.iter();
    let uio = nodes.filter(|node| {
        node.container_path
            .to_string_lossy()
            .starts_with("/dev/uio")
    });
    uio.map(|node| Problem::Uio {
        path: node.container_path.clone(),
    })
    .take(1)
    .collect()
}

pub(super) fn read_write(answer: &Answer<'_>) -> Vec<Problem> {
    let nodes = answer.edits.devices.iter();
    nodes
        .filter(|node| !node.permissions.contains('r') || !node.permissions.contains('w'))
        .map(|node| Problem::Permissions {
            path: node.container_path.clone(),
            permissions: node.permissions.clone(),
        })
        .collect()
}

pub(super) fn any_user(answer: &Answer<'_>) -> Vec<Problem> {
    let nodes = answer.edits.devices.iter();
    nodes
        .filter(|node| answer.private.contains(&node.host_path))
        .map(|node| Problem::RootOnly {
            path: node.host_path.clone(),
        })
        .take(1)
        .collect()
}

/// What Kata's `IsVFIODevice` takes for a device: everything below `/dev/vfio` that does not start like the
/// control node.
pub(super) fn is_vfio_device(path: &Path) -> bool {
    let path = path.to_string_lossy();
    path.starts_with("/dev/vfio/") && !path.starts_with(CONTROL)
}

fn is_cdev(node: &DeviceNode) -> bool {
    node.container_path.to_string_lossy().starts_with(CDEVS)
}

fn missing(answer: &Answer<'_>, path: &str) -> Vec<Problem> {
    let path = Path::new(path);
    let there = answer
        .edits
        .devices
        .iter()
        .any(|node| node.container_path == path);
    if there {
        Vec::new()
    } else {
        let path = path.to_owned();
        vec![Problem::NoNode { path }]
    }
}

fn left_out(answer: &Answer<'_>, needs: &'static str) -> Problem {
    Problem::Interface {
        needs,
        interface: answer.interface,
    }
}
