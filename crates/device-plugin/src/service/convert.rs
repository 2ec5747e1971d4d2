//! Between our types and the generated ones.

use crate::{
    device::{Device, DeviceId, Health},
    device_set::DeviceSet,
    edits::ContainerEdits,
    error::AllocateError,
    plugin::PluginOptions,
};
use kubelet_api::deviceplugin::v1beta1 as api;
use std::{collections::BTreeSet, path::Path};
use tonic::{Code, Status};

/// The one place where an error becomes a gRPC status. The kubelet shows both to the user.
pub(super) fn status(error: &AllocateError) -> Status {
    let code = match error {
        AllocateError::Refused { .. } | AllocateError::Unhealthy { .. } => Code::FailedPrecondition,
        AllocateError::Empty
        | AllocateError::Malformed { .. }
        | AllocateError::Duplicate { .. } => Code::InvalidArgument,
        AllocateError::Unknown { .. } => Code::NotFound,
        AllocateError::TimedOut { .. } => Code::DeadlineExceeded,
    };
    Status::new(code, error.to_string())
}

/// The IDs that can be ones of ours, in order.
pub(super) fn sorted(ids: &[String]) -> Vec<DeviceId> {
    let ids: BTreeSet<DeviceId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    ids.into_iter().collect()
}

pub(super) fn options(options: PluginOptions) -> api::DevicePluginOptions {
    api::DevicePluginOptions {
        pre_start_required: options.pre_start,
        get_preferred_allocation_available: options.preferred_allocation,
    }
}

pub(super) fn list(set: &DeviceSet) -> api::ListAndWatchResponse {
    let devices = set.iter().map(device).collect();
    api::ListAndWatchResponse { devices }
}

fn device(device: &Device) -> api::Device {
    let health = match device.health {
        Health::Healthy => api::HEALTHY,
        Health::Unhealthy => api::UNHEALTHY,
    };
    let nodes = device.numa_nodes.iter();
    let nodes: Vec<_> = nodes.map(|&id| api::NumaNode { id: id.into() }).collect();
    api::Device {
        id: device.id.to_string(),
        health: health.to_owned(),
        topology: (!nodes.is_empty()).then_some(api::TopologyInfo { nodes }),
    }
}

pub(super) fn container_response(edits: ContainerEdits) -> api::ContainerAllocateResponse {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mounts = edits.mounts.iter().map(|mount| api::Mount {
        container_path: text(&mount.container_path),
        host_path: text(&mount.host_path),
        read_only: mount.read_only,
    });
    let devices = edits.devices.iter().map(|node| api::DeviceSpec {
        container_path: text(&node.container_path),
        host_path: text(&node.host_path),
        permissions: node.permissions.clone(),
    });
    let cdi_devices = edits.cdi_devices.into_iter();
    api::ContainerAllocateResponse {
        mounts: mounts.collect(),
        devices: devices.collect(),
        envs: edits.envs,
        annotations: edits.annotations,
        cdi_devices: cdi_devices.map(|name| api::CdiDevice { name }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ALLOCATE_LIMIT;

    #[test]
    fn every_error_has_a_status_with_its_text() {
        let id = || "a".parse::<DeviceId>().unwrap();
        let text = || "a b".to_owned();
        let limit = ALLOCATE_LIMIT;
        let cases = [
            (AllocateError::refused("no"), Code::FailedPrecondition, "no"),
            (
                AllocateError::Empty,
                Code::InvalidArgument,
                "the request names no device",
            ),
            (
                AllocateError::Unknown { id: id() },
                Code::NotFound,
                "there is no device `a`",
            ),
            (
                AllocateError::Malformed { text: text() },
                Code::InvalidArgument,
                "`a b` is not the ID of a device",
            ),
            (
                AllocateError::Unhealthy {
                    id: id(),
                    why: None,
                },
                Code::FailedPrecondition,
                "device `a` is unhealthy",
            ),
            (
                AllocateError::Duplicate { id: id() },
                Code::InvalidArgument,
                "the request names device `a` twice",
            ),
            (
                AllocateError::TimedOut { limit },
                Code::DeadlineExceeded,
                "the device plugin did not answer within 10 s",
            ),
        ];
        for (error, code, message) in cases {
            let status = status(&error);
            assert_eq!((status.code(), status.message()), (code, message));
        }
    }

    #[test]
    fn no_numa_nodes_is_no_topology() {
        let mut ours = Device {
            id: "a".parse().unwrap(),
            health: Health::Unhealthy,
            numa_nodes: Vec::new(),
        };
        assert_eq!(device(&ours).topology, None);
        assert_eq!(device(&ours).health, "Unhealthy");
        ours.numa_nodes.push(1);
        let nodes = vec![api::NumaNode { id: 1 }];
        assert_eq!(device(&ours).topology, Some(api::TopologyInfo { nodes }));
    }
}
