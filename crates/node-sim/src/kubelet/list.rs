//! What a device list must be, and what it merely should be.

use std::collections::{BTreeMap, BTreeSet};

use kubelet_api::deviceplugin::v1beta1::{Device, HEALTHY, MAX_ID_LENGTH, UNHEALTHY};

use super::view::SimDevice;

/// Reads a list as the kubelet does: by ID. The last of equal IDs wins, but it is healthy if one of
/// them is. Returns warnings for what the kubelet accepts without a warning.
pub(super) fn read(devices: Vec<Device>) -> (BTreeMap<String, SimDevice>, Vec<String>) {
    let mut list: BTreeMap<String, SimDevice> = BTreeMap::new();
    let mut warnings = Vec::new();
    for device in devices {
        let id = &device.id;
        let length = id.chars().count();
        if id.is_empty() {
            warnings.push("a device has an empty ID".to_owned());
        }
        if length > MAX_ID_LENGTH {
            warnings.push(format!(
                "the ID `{id}` has {length} characters, the limit is {MAX_ID_LENGTH}"
            ));
        }
        if device.health != HEALTHY && device.health != UNHEALTHY {
            warnings.push(format!(
                "the health of `{id}` is `{}`, which counts as unhealthy",
                device.health
            ));
        }
        let mut device = SimDevice::from(device);
        if let Some(earlier) = list.get(&device.id) {
            warnings.push(format!("the ID `{}` is in the list twice", device.id));
            device.healthy |= earlier.healthy;
        }
        list.insert(device.id.clone(), device);
    }
    let nowhere = list
        .values()
        .filter(|device| device.numa.is_empty())
        .count();
    if nowhere != 0 && nowhere != list.len() {
        warnings.push(format!(
            "{nowhere} of {} devices have no NUMA node; with the topology manager they are \
             never given to a pod that needs alignment",
            list.len()
        ));
    }
    (list, warnings)
}

/// Returns warnings for the step from one list to the next. `assigned` are devices of pods.
pub(super) fn compare(
    before: &BTreeMap<String, SimDevice>,
    after: &BTreeMap<String, SimDevice>,
    assigned: &BTreeSet<String>,
) -> Vec<String> {
    let lost = assigned
        .iter()
        .filter(|id| before.contains_key(*id) && !after.contains_key(*id))
        .map(|id| {
            format!("`{id}` belongs to a pod and left the list; it should stay, as unhealthy")
        });
    lost.collect()
}
