//! The bytes on the wire, written by hand from the field numbers of the interface.
//!
//! A field is a key (`number << 3 | type`; type 0 is a varint, type 2 has a length), then
//! its value. Were a number or a type to change in `proto/`, regenerating would be green,
//! and this would not.

use kubelet_api::{
    deviceplugin::v1beta1::{
        self as plugin, AllocateResponse, CdiDevice, ContainerAllocateResponse,
        ContainerPreferredAllocationRequest, Device, DevicePluginOptions, DeviceSpec,
        ListAndWatchResponse, Mount, NumaNode, PreferredAllocationRequest, RegisterRequest,
        TopologyInfo,
    },
    podresources::v1::{
        self as pods, ClaimResource, ContainerDevices, ContainerResources, DynamicResource,
        ListPodResourcesResponse, PodResources,
    },
};
use prost::Message;
use std::{collections::BTreeMap, fmt::Debug};

/// A field with a length: its number, and its content.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    assert!(length < 0x80, "a golden field has a length of one byte");
    let mut bytes = vec![number << 3 | 2, length];
    bytes.extend_from_slice(content);
    bytes
}

/// A varint field below 128: its number, and its value.
fn varint(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

#[track_caller]
fn check<M: Message + Default + PartialEq + Debug>(message: &M, golden: &[Vec<u8>]) {
    let golden = golden.concat();
    assert_eq!(message.encode_to_vec(), golden, "{message:?}");
    assert_eq!(M::decode(golden.as_slice()).ok().as_ref(), Some(message));
}

#[test]
fn register_request() {
    check(
        &RegisterRequest {
            version: plugin::VERSION.to_owned(),
            endpoint: "a.sock".to_owned(),
            resource_name: "example.com/nic".to_owned(),
            options: Some(DevicePluginOptions {
                pre_start_required: true,
                get_preferred_allocation_available: true,
            }),
        },
        &[
            field(1, b"v1beta1"),
            field(2, b"a.sock"),
            field(3, b"example.com/nic"),
            field(4, &[varint(1, 1), varint(2, 1)].concat()),
        ],
    );
}

#[test]
fn list_and_watch_response() {
    let device = Device {
        id: "port-0".to_owned(),
        health: plugin::HEALTHY.to_owned(),
        topology: Some(TopologyInfo {
            nodes: vec![NumaNode { id: 1 }],
        }),
    };
    let golden = [
        field(1, b"port-0"),
        field(2, b"Healthy"),
        field(3, &field(1, &varint(1, 1))),
    ]
    .concat();
    check(
        &ListAndWatchResponse {
            devices: vec![device],
        },
        &[field(1, &golden)],
    );
}

#[test]
fn preferred_allocation_request() {
    let golden = [field(1, b"a"), field(1, b"b"), field(2, b"b"), varint(3, 2)].concat();
    check(
        &PreferredAllocationRequest {
            container_requests: vec![ContainerPreferredAllocationRequest {
                available_device_i_ds: vec!["a".to_owned(), "b".to_owned()],
                must_include_device_i_ds: vec!["b".to_owned()],
                allocation_size: 2,
            }],
        },
        &[field(1, &golden)],
    );
}

#[test]
fn allocate_response() {
    let answer = ContainerAllocateResponse {
        envs: BTreeMap::from([("K".to_owned(), "V".to_owned())]),
        mounts: vec![Mount {
            container_path: "/c".to_owned(),
            host_path: "/h".to_owned(),
            read_only: true,
        }],
        devices: vec![DeviceSpec {
            container_path: "/dev/c".to_owned(),
            host_path: "/dev/h".to_owned(),
            permissions: "rw".to_owned(),
        }],
        annotations: BTreeMap::from([("A".to_owned(), "B".to_owned())]),
        cdi_devices: vec![CdiDevice {
            name: "example.com/nic=0".to_owned(),
        }],
    };
    let golden = [
        field(1, &[field(1, b"K"), field(2, b"V")].concat()),
        field(
            2,
            &[field(1, b"/c"), field(2, b"/h"), varint(3, 1)].concat(),
        ),
        field(
            3,
            &[field(1, b"/dev/c"), field(2, b"/dev/h"), field(3, b"rw")].concat(),
        ),
        field(4, &[field(1, b"A"), field(2, b"B")].concat()),
        field(5, &field(1, b"example.com/nic=0")),
    ]
    .concat();
    check(
        &AllocateResponse {
            container_responses: vec![answer],
        },
        &[field(1, &golden)],
    );
}

#[test]
fn pod_resources() {
    let pod = PodResources {
        name: "p".to_owned(),
        namespace: "n".to_owned(),
        containers: vec![ContainerResources {
            name: "c".to_owned(),
            devices: vec![ContainerDevices {
                resource_name: "example.com/nic".to_owned(),
                device_ids: vec!["port-0".to_owned()],
                topology: None,
            }],
            cpu_ids: vec![2, 3],
            memory: Vec::new(),
            dynamic_resources: vec![DynamicResource {
                claim_name: "x".to_owned(),
                claim_namespace: "y".to_owned(),
                claim_resources: vec![ClaimResource {
                    cdi_devices: vec![pods::CdiDevice {
                        name: "e/f=g".to_owned(),
                    }],
                    driver_name: "d".to_owned(),
                    pool_name: "q".to_owned(),
                    device_name: "v".to_owned(),
                    share_id: Some(String::new()),
                }],
            }],
        }],
        cpu_ids: Vec::new(),
        memory: Vec::new(),
    };
    let claim = [
        field(1, &field(1, b"e/f=g")),
        field(2, b"d"),
        field(3, b"q"),
        field(4, b"v"),
        field(5, b""),
    ]
    .concat();
    let container = [
        field(1, b"c"),
        field(
            2,
            &[field(1, b"example.com/nic"), field(2, b"port-0")].concat(),
        ),
        field(3, &[2, 3]),
        field(
            5,
            &[field(2, b"x"), field(3, b"y"), field(4, &claim)].concat(),
        ),
    ]
    .concat();
    let golden = [field(1, b"p"), field(2, b"n"), field(3, &container)].concat();
    check(
        &ListPodResourcesResponse {
            pod_resources: vec![pod],
        },
        &[field(1, &golden)],
    );
}

#[test]
fn unknown_fields_of_a_newer_kubelet_are_skipped() {
    let newer = [field(1, b"port-0"), field(14, b"later"), varint(15, 1)].concat();
    let device = Device::decode(newer.as_slice());
    assert_eq!(
        device.map(|device| device.id).ok().as_deref(),
        Some("port-0")
    );
}
