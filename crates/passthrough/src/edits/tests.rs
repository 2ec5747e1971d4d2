use std::path::PathBuf;

use device_plugin::{ContainerEdits, Mount, ResourceName};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Value, json};
use sysfs_pci::PciAddress;
use vfio_host::{NodeKind, UioNode, VfioNode};

use super::edits;
use crate::{FunctionNode, Grant, GrantedFunction, NumberedPrefix};

fn resource(name: &str) -> ResourceName {
    name.parse().unwrap()
}

fn control() -> VfioNode {
    let path = "/dev/vfio/vfio";
    VfioNode {
        kind: NodeKind::Control,
        host_path: path.into(),
        container_path: path.into(),
    }
}

fn group(number: u32) -> FunctionNode {
    let path = format!("/dev/vfio/{number}");
    FunctionNode::Vfio(VfioNode {
        kind: NodeKind::Group,
        host_path: path.clone().into(),
        container_path: path.into(),
    })
}

fn no_iommu(number: u32) -> FunctionNode {
    FunctionNode::Vfio(VfioNode {
        kind: NodeKind::NoIommuGroup,
        host_path: format!("/dev/vfio/noiommu-{number}").into(),
        container_path: format!("/dev/vfio/{number}").into(),
    })
}

fn cdev(number: u32) -> FunctionNode {
    let path = format!("/dev/vfio/devices/vfio{number}");
    FunctionNode::Vfio(VfioNode {
        kind: NodeKind::Cdev,
        host_path: path.clone().into(),
        container_path: path.into(),
    })
}

fn uio(number: u32) -> FunctionNode {
    FunctionNode::Uio(UioNode {
        host_path: format!("/dev/uio{number}").into(),
        attributes: format!("/sys/class/uio/uio{number}/device").into(),
    })
}

fn granted(address: &str, node: Option<FunctionNode>) -> GrantedFunction {
    GrantedFunction {
        address: address.parse().unwrap(),
        nodes: node.into_iter().collect(),
    }
}

fn answer(name: &str, functions: Vec<GrantedFunction>, prefix: Option<&str>) -> ContainerEdits {
    let resource = resource(name);
    let prefix: Option<NumberedPrefix> = prefix.map(|prefix| prefix.parse().unwrap());
    edits(&Grant {
        resource: &resource,
        functions,
        control: Some(control()),
        numbered_prefix: prefix.as_ref(),
        cdi_names: name.ends_with("/cdi"),
    })
}

fn nodes(edits: &ContainerEdits) -> Vec<(&str, &str, &str)> {
    edits
        .devices
        .iter()
        .map(|node| {
            let container = node.container_path.to_str().unwrap();
            (
                node.host_path.to_str().unwrap(),
                container,
                node.permissions.as_str(),
            )
        })
        .collect()
}

fn variables(edits: &ContainerEdits) -> Vec<(&str, &str)> {
    edits
        .envs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

#[test]
fn two_functions_in_full() {
    let functions = vec![
        granted("0000:6b:00.2", Some(group(321))),
        granted("0000:6b:00.1", Some(group(320))),
    ];
    let edits = answer("example.com/fast", functions, Some("FAST"));
    assert_eq!(
        variables(&edits),
        [
            ("FAST0", "0000:6b:00.1"),
            ("FAST1", "0000:6b:00.2"),
            ("PCIDEVICE_EXAMPLE_COM_FAST", "0000:6b:00.1,0000:6b:00.2"),
            (
                "PCIDEVICE_EXAMPLE_COM_FAST_INFO",
                concat!(
                    r#"{"0000:6b:00.1":{"generic":{"deviceID":"0000:6b:00.1"},"#,
                    r#""vfio":{"dev-mount":"/dev/vfio/320","mount":"/dev/vfio/vfio"}},"#,
                    r#""0000:6b:00.2":{"generic":{"deviceID":"0000:6b:00.2"},"#,
                    r#""vfio":{"dev-mount":"/dev/vfio/321","mount":"/dev/vfio/vfio"}}}"#,
                )
            ),
            ("PCI_RESOURCE_EXAMPLE_COM_FAST", "0000:6b:00.1,0000:6b:00.2"),
        ]
    );
    assert_eq!(
        nodes(&edits),
        [
            ("/dev/vfio/vfio", "/dev/vfio/vfio", "rw"),
            ("/dev/vfio/320", "/dev/vfio/320", "rw"),
            ("/dev/vfio/321", "/dev/vfio/321", "rw"),
        ]
    );
    assert!(edits.mounts.is_empty() && edits.annotations.is_empty());
    assert!(edits.cdi_devices.is_empty());
}

#[test]
fn a_dash_stays_and_the_shell_gets_a_name_of_its_own() {
    let edits = answer(
        "example.com/a-b",
        vec![granted("0000:6b:00.1", Some(group(1)))],
        None,
    );
    let names: Vec<&str> = edits.envs.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "PCIDEVICE_EXAMPLE_COM_A-B",
            "PCIDEVICE_EXAMPLE_COM_A-B_INFO",
            "PCIDEVICE_EXAMPLE_COM_A_B",
            "PCI_RESOURCE_EXAMPLE_COM_A-B",
        ]
    );
    assert_eq!(edits.envs["PCIDEVICE_EXAMPLE_COM_A_B"], "0000:6b:00.1");
}

#[test]
fn numbers_follow_the_address_beyond_nine() {
    let functions = (0..12)
        .map(|n| granted(&format!("0000:6b:{n:02x}.0"), None))
        .rev()
        .collect();
    let edits = answer("example.com/x", functions, Some("N"));
    for n in 0..12 {
        assert_eq!(edits.envs[&format!("N{n}")], format!("0000:6b:{n:02x}.0"));
    }
    assert!(!edits.envs.contains_key("N12"));
}

#[test]
fn a_shared_group_is_one_node() {
    let functions = vec![
        granted("0000:6b:00.1", Some(group(7))),
        granted("0000:6b:00.2", Some(group(7))),
    ];
    let edits = answer("example.com/x", functions, None);
    assert_eq!(edits.devices.len(), 2);
    assert_eq!(
        edits.envs["PCI_RESOURCE_EXAMPLE_COM_X"],
        "0000:6b:00.1,0000:6b:00.2"
    );
}

/// The host's name has a prefix, the container's has not, and the JSON speaks of the container's.
#[test]
fn without_iommu_the_node_changes_its_name() {
    let edits = answer(
        "example.com/x",
        vec![granted("0000:6b:00.1", Some(no_iommu(7)))],
        None,
    );
    assert_eq!(
        nodes(&edits)[1],
        ("/dev/vfio/noiommu-7", "/dev/vfio/7", "rw")
    );
    let info: Value = serde_json::from_str(&edits.envs["PCIDEVICE_EXAMPLE_COM_X_INFO"]).unwrap();
    assert_eq!(
        info,
        json!({"0000:6b:00.1": {
            "generic": {"deviceID": "0000:6b:00.1"},
            "vfio": {"mount": "/dev/vfio/vfio", "dev-mount": "/dev/vfio/7"},
        }})
    );
}

/// The answer of Intel's plugin for `igb_uio`, with the variables of all.
#[test]
fn a_function_on_uio_comes_with_its_node_and_its_attributes() {
    let functions = vec![
        granted("0000:6b:00.2", Some(uio(10))),
        granted("0000:6b:00.1", Some(uio(9))),
    ];
    let edits = answer("example.com/x", functions, Some("N"));
    assert_eq!(
        nodes(&edits),
        [
            ("/dev/uio9", "/dev/uio9", "rw"),
            ("/dev/uio10", "/dev/uio10", "rw"),
        ]
    );
    let attributes = |number| {
        let path: PathBuf = format!("/sys/class/uio/uio{number}/device").into();
        Mount {
            container_path: path.clone(),
            host_path: path,
            read_only: false,
        }
    };
    assert_eq!(edits.mounts, [attributes(9), attributes(10)]);
    assert_eq!(edits.envs["N1"], "0000:6b:00.2");
    let info: Value = serde_json::from_str(&edits.envs["PCIDEVICE_EXAMPLE_COM_X_INFO"]).unwrap();
    assert_eq!(info["0000:6b:00.1"]["uio"], json!({"mount": "/dev/uio9"}));
    assert_eq!(info["0000:6b:00.1"]["vfio"], Value::Null);
}

#[test]
fn without_nodes_there_is_only_the_environment() {
    let edits = answer("example.com/x", vec![granted("0000:6b:00.1", None)], None);
    assert!(edits.devices.is_empty());
    assert_eq!(
        edits.envs["PCIDEVICE_EXAMPLE_COM_X_INFO"],
        r#"{"0000:6b:00.1":{"generic":{"deviceID":"0000:6b:00.1"}}}"#
    );
}

/// The group first, then the function's own, whichever way round they were given; and the control node, without
/// which KubeVirt leaves the group's node to root.
#[test]
fn both_interfaces_come_with_the_control_node() {
    let both = GrantedFunction {
        address: "0000:6b:00.1".parse().unwrap(),
        nodes: vec![cdev(3), group(320)],
    };
    let edits = answer("example.com/x", vec![both], None);
    let expected = ["/dev/vfio/vfio", "/dev/vfio/320", "/dev/vfio/devices/vfio3"];
    assert_eq!(
        nodes(&edits),
        expected.map(|path| (path, path, "rw")).to_vec()
    );
    let info: Value = serde_json::from_str(&edits.envs["PCIDEVICE_EXAMPLE_COM_X_INFO"]).unwrap();
    assert_eq!(
        info["0000:6b:00.1"]["vfio"],
        json!({
            "mount": "/dev/vfio/vfio",
            "dev-mount": "/dev/vfio/320",
            "cdev": "/dev/vfio/devices/vfio3",
        })
    );
}

#[test]
fn functions_with_a_node_are_named_in_cdi() {
    let functions = vec![
        granted("0000:6b:00.2", Some(group(321))),
        granted("0000:6b:00.1", Some(group(320))),
        granted("0000:6b:00.3", None),
    ];
    let edits = answer("example.com/cdi", functions, None);
    let names = [
        "example.com/cdi=0000:6b:00.1",
        "example.com/cdi=0000:6b:00.2",
    ];
    assert_eq!(edits.cdi_devices, names);
    // The nodes stay in the answer, for runtimes that do not know CDI.
    assert_eq!(edits.devices.len(), 3);
}

#[test]
fn nothing_granted_is_nothing_edited() {
    assert_eq!(
        answer("example.com/x", Vec::new(), Some("N")),
        ContainerEdits::default()
    );
}

fn function() -> impl Strategy<Value = GrantedFunction> {
    // Few values, so that addresses and groups repeat.
    let address = (0_u32..2, 0_u8..3, 0_u8..4, 0_u8..8);
    let node = prop_oneof![
        Just(None),
        (0_u32..6).prop_map(|n| Some(group(n))),
        (0_u32..6).prop_map(|n| Some(cdev(n))),
        (0_u32..6).prop_map(|n| Some(no_iommu(n))),
        (0_u32..6).prop_map(|n| Some(uio(n))),
    ];
    (address, node).prop_map(|((domain, bus, device, function), node)| GrantedFunction {
        address: PciAddress::new(domain, bus, device, function).unwrap(),
        nodes: node.into_iter().collect(),
    })
}

proptest! {
    #[test]
    fn the_order_of_the_functions_does_not_matter(
        (functions, shuffled) in vec(function(), 0..16)
            .prop_flat_map(|functions| (Just(functions.clone()), Just(functions).prop_shuffle())),
        numbered in any::<bool>(),
    ) {
        let prefix = numbered.then_some("N");
        prop_assert_eq!(
            answer("example.com/a-b", functions, prefix),
            answer("example.com/a-b", shuffled, prefix)
        );
    }

    #[test]
    fn every_answer_keeps_the_contracts(functions in vec(function(), 1..16)) {
        let mut addresses: Vec<PciAddress> = functions.iter().map(|f| f.address).collect();
        addresses.sort();
        addresses.dedup();
        let edits = answer("example.com/a-b", functions, Some("N"));

        // Exactly the addresses, in order, each in full and nothing around them.
        let list = &edits.envs["PCI_RESOURCE_EXAMPLE_COM_A-B"];
        let read: Vec<PciAddress> = list.split(',').map(|a| a.parse().unwrap()).collect();
        prop_assert_eq!(&read, &addresses);
        prop_assert_eq!(list, &edits.envs["PCIDEVICE_EXAMPLE_COM_A-B"]);
        prop_assert_eq!(list, &edits.envs["PCIDEVICE_EXAMPLE_COM_A_B"]);
        for (number, address) in addresses.iter().enumerate() {
            prop_assert_eq!(&edits.envs[&format!("N{number}")], &address.to_string());
        }
        prop_assert_eq!(edits.envs.len(), 4 + addresses.len());
        prop_assert!(!edits.envs.keys().any(|name| name.starts_with("MDEV")));

        // The JSON speaks of the same functions, and of nodes that the container gets.
        let info: Value =
            serde_json::from_str(&edits.envs["PCIDEVICE_EXAMPLE_COM_A-B_INFO"]).unwrap();
        let info = info.as_object().unwrap();
        prop_assert_eq!(info.len(), addresses.len());
        for address in &addresses {
            let entry = &info[&address.to_string()];
            prop_assert_eq!(&entry["generic"]["deviceID"], &address.to_string());
            for mount in [&entry["vfio"]["dev-mount"], &entry["vfio"]["cdev"], &entry["uio"]["mount"]] {
                let given = |path: &str| edits.devices.iter().any(|d| d.container_path.as_os_str() == path);
                prop_assert!(mount.as_str().is_none_or(given));
            }
        }

        // Attributes for UIO alone, each once.
        let on_uio = edits.devices.iter().filter(|d| {
            d.container_path.to_str().is_some_and(|path| path.starts_with("/dev/uio"))
        });
        prop_assert_eq!(edits.mounts.len(), on_uio.count());

        // The control node first if one is on VFIO, no path twice, and never more than reading and
        // writing.
        let mut paths: Vec<_> = edits.devices.iter().map(|d| &d.container_path).collect();
        let on_vfio = paths.iter().any(|path| path.starts_with("/dev/vfio"));
        if on_vfio {
            prop_assert_eq!(paths[0].as_os_str(), "/dev/vfio/vfio");
        }
        prop_assert!(edits.devices.iter().all(|d| d.permissions == "rw"));
        paths.sort();
        let before = paths.len();
        paths.dedup();
        prop_assert_eq!(paths.len(), before);
    }
}
