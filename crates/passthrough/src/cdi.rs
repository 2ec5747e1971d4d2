//! The functions of a resource, for runtimes that look them up.

use std::collections::BTreeMap;

use device_plugin::cdi::{Device, Node, Owner, Shared, Spec, SpecError};

use crate::edits::{control_device, device_node, mount};
use crate::functions::{functions, on_vfio};
use crate::grant::Grant;

/// Describes all functions of a resource in CDI: a device for each one that has a node.
///
/// The name of a device is the function's address, the same as its ID towards the kubelet, and
/// each has the node of its function only: the first by path, where it has two. The control node is shared. Variables are not in it:
/// a function does not know which others its container gets. They come with the answer to
/// Allocate, from [`edits`](crate::edits), whose nodes are these and merge with them.
///
/// `owner` says whose the nodes of functions are in the container, so that a program or a virtual
/// machine need not be root to open them. The control node keeps its own, as anybody may open it.
///
/// # Errors
///
/// [`SpecError`], when the resource has a name that CDI does not allow, such as `example.com/4xxx`,
/// and [`SpecError::NoDevices`] when no function has a node.
pub fn cdi_spec(grant: &Grant<'_>, owner: Owner) -> Result<Spec, SpecError> {
    let functions = functions(grant);
    let control = grant.control.as_ref().filter(|_| on_vfio(&functions));
    let shared = Shared {
        nodes: control
            .map(|node| control_device(node).into())
            .into_iter()
            .collect(),
        ..Shared::default()
    };
    let devices = functions.into_iter().filter_map(|(address, nodes)| {
        let node = nodes.first()?;
        Some(Device {
            id: address.to_string().parse().ok()?,
            node: Node {
                node: device_node(node),
                owner,
            },
            envs: BTreeMap::new(),
            mounts: mount(node).into_iter().collect(),
        })
    });
    Spec::new(grant.resource.clone(), devices, &shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use device_plugin::ResourceName;
    use serde_json::{Value, json};
    use vfio_host::{NodeKind, UioNode, VfioNode};

    use crate::{FunctionNode, GrantedFunction};

    fn node(kind: NodeKind, host: &str, container: &str) -> VfioNode {
        VfioNode {
            kind,
            host_path: host.into(),
            container_path: container.into(),
        }
    }

    fn function(address: &str, node: Option<VfioNode>) -> GrantedFunction {
        let address = address.parse().unwrap();
        let nodes = node.map(FunctionNode::from).into_iter().collect();
        GrantedFunction { address, nodes }
    }

    fn describe(resource: &str, functions: Vec<GrantedFunction>) -> Result<Value, SpecError> {
        let resource: ResourceName = resource.parse().unwrap();
        let grant = Grant {
            resource: &resource,
            functions,
            control: Some(node(NodeKind::Control, "/dev/vfio/vfio", "/dev/vfio/vfio")),
            numbered_prefix: None,
            cdi_names: false,
        };
        let owner = Owner {
            gid: Some(107),
            ..Owner::default()
        };
        let spec = cdi_spec(&grant, owner)?;
        Ok(serde_json::from_str(&spec.to_string()).unwrap())
    }

    #[test]
    fn each_function_has_its_node_and_all_share_the_control_node() {
        let group = node(NodeKind::Group, "/dev/vfio/320", "/dev/vfio/320");
        let bare = node(NodeKind::NoIommuGroup, "/dev/vfio/noiommu-7", "/dev/vfio/7");
        let functions = vec![
            function("0000:6b:00.2", Some(bare)),
            function("0000:6b:00.3", None),
            function("0000:6b:00.1", Some(group.clone())),
            function("0000:6b:00.1", Some(group)),
        ];
        let edits = |node: Value| json!({"deviceNodes": [node]});
        let expected = json!({
            "cdiVersion": "0.5.0",
            "kind": "example.com/fast",
            "containerEdits": edits(json!({"path": "/dev/vfio/vfio", "permissions": "rw"})),
            "devices": [
                {
                    "name": "0000:6b:00.1",
                    "containerEdits": edits(json!({
                        "path": "/dev/vfio/320", "permissions": "rw", "gid": 107
                    })),
                },
                {
                    "name": "0000:6b:00.2",
                    "containerEdits": edits(json!({
                        "path": "/dev/vfio/7", "hostPath": "/dev/vfio/noiommu-7",
                        "permissions": "rw", "gid": 107
                    })),
                },
            ],
        });
        assert_eq!(describe("example.com/fast", functions).unwrap(), expected);
    }

    #[test]
    fn a_function_on_uio_has_its_attributes_and_no_control_node() {
        let uio = UioNode {
            host_path: "/dev/uio9".into(),
            attributes: "/sys/class/uio/uio9/device".into(),
        };
        let on_uio = GrantedFunction {
            address: "0000:6b:00.1".parse().unwrap(),
            nodes: vec![uio.into()],
        };
        let spec = describe("example.com/fast", vec![on_uio]).unwrap();
        let edits = &spec["devices"][0]["containerEdits"];
        assert_eq!(edits["deviceNodes"][0]["path"], "/dev/uio9");
        let attributes = "/sys/class/uio/uio9/device";
        assert_eq!(edits["mounts"][0]["hostPath"], attributes);
        assert_eq!(edits["mounts"][0]["containerPath"], attributes);
        assert_eq!(spec["containerEdits"], Value::Null);
    }

    #[test]
    fn what_cdi_cannot_say_is_refused() {
        let none = vec![function("0000:6b:00.1", None)];
        let error = describe("example.com/fast", none.clone()).unwrap_err();
        assert!(matches!(error, SpecError::NoDevices { .. }), "{error}");
        let error = describe("example.com/4xxx", none).unwrap_err();
        assert!(matches!(error, SpecError::Class { .. }), "{error}");
    }
}
