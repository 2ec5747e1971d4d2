//! Rules about the CDI file of a resource.

use std::path::Path;

use device_plugin::cdi::qualified_name;
use serde_json::Value;
use sysfs_pci::PciAddress;

use super::nodes::is_vfio_device;
use super::{Answer, Problem};

pub(super) fn devices(answer: &Answer<'_>) -> Vec<Problem> {
    let resource = answer.resource;
    // Any name of a device will do to ask about the kind.
    let legal = "0"
        .parse()
        .is_ok_and(|id| qualified_name(resource, &id).is_ok());
    if !legal {
        let resource = resource.clone();
        return vec![Problem::NoKind { resource }];
    }
    let file = match answer.cdi {
        None => return vec![Problem::CdiOff],
        Some(Err(why)) => {
            let why = why.to_owned();
            return vec![Problem::CdiFile { why }];
        }
        Some(Ok(file)) => file,
    };
    if file["kind"] != Value::String(resource.to_string()) {
        return vec![Problem::CdiKind {
            found: text(&file["kind"]),
            expected: resource.clone(),
        }];
    }
    let all = answer.addresses().into_iter();
    all.filter(|address| device(file, *address).is_none())
        .map(|address| Problem::NoCdiDevice { address })
        .collect()
}

pub(super) fn nodes(answer: &Answer<'_>) -> Vec<Problem> {
    let Some(Ok(file)) = answer.cdi else {
        // `devices` says it.
        return Vec::new();
    };
    let all = answer.addresses().into_iter();
    all.filter_map(|address| node_problem(answer, address, device(file, address)?))
        .collect()
}

fn node_problem(answer: &Answer<'_>, address: PciAddress, device: &Value) -> Option<Problem> {
    let nodes = device["containerEdits"]["deviceNodes"].as_array();
    let paths: Vec<String> = nodes
        .into_iter()
        .flatten()
        .map(|node| text(&node["path"]))
        .collect();
    match paths.as_slice() {
        [node] if is_vfio_device(Path::new(node)) => {
            let there = |path: &Path| {
                answer
                    .edits
                    .devices
                    .iter()
                    .any(|d| d.container_path == path)
            };
            let node = node.clone();
            (!there(Path::new(&node))).then_some(Problem::CdiOther { address, node })
        }
        _ => Some(Problem::CdiNodes {
            address,
            nodes: paths,
        }),
    }
}

fn device(file: &Value, address: PciAddress) -> Option<&Value> {
    let name = Value::String(address.to_string());
    let devices = file["devices"].as_array()?;
    devices.iter().find(|device| device["name"] == name)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
