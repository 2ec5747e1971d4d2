//! What the kubelet knows about a resource, as a copy for the caller.

use kubelet_api::deviceplugin::v1beta1::{Device, DevicePluginOptions, HEALTHY};

/// What the kubelet knows about one resource at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResourceView {
    /// The resource, `vendor.domain/name`.
    pub name: String,
    /// The socket name of the last accepted registration. Empty when this run of the
    /// kubelet knows the resource from its checkpoint only.
    pub endpoint: String,
    /// What `GetDevicePluginOptions` answered. The options in `Register` do not count.
    pub options: PluginOptions,
    /// The last list, sorted by ID, each ID once.
    pub devices: Vec<SimDevice>,
    /// The number of devices, healthy or not.
    pub capacity: usize,
    /// The number of healthy devices. Devices of pods are not subtracted.
    pub allocatable: usize,
    /// How many devices are assigned to pods.
    pub assigned: usize,
    /// How many lists came since the kubelet started, on all streams.
    pub lists_received: u64,
    /// How many registrations were accepted since the kubelet started.
    pub registrations: u64,
    /// Whether the stream of the last registration is open.
    pub streaming: bool,
}

/// A device of the last list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SimDevice {
    /// The device ID.
    pub id: String,
    /// Whether the health is exactly `Healthy`.
    pub healthy: bool,
    /// The NUMA nodes. Empty: no preference.
    pub numa: Vec<i64>,
}

impl From<Device> for SimDevice {
    fn from(device: Device) -> Self {
        Self {
            id: device.id,
            healthy: device.health == HEALTHY,
            numa: device
                .topology
                .map(|topology| topology.nodes.into_iter().map(|node| node.id).collect())
                .unwrap_or_default(),
        }
    }
}

/// What a plugin answered to `GetDevicePluginOptions`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PluginOptions {
    /// The plugin wants to be asked with `GetPreferredAllocation`.
    pub preferred_allocation: bool,
    /// The plugin wants `PreStartContainer` before each start of a container.
    pub pre_start: bool,
}

impl From<DevicePluginOptions> for PluginOptions {
    fn from(options: DevicePluginOptions) -> Self {
        Self {
            preferred_allocation: options.get_preferred_allocation_available,
            pre_start: options.pre_start_required,
        }
    }
}
