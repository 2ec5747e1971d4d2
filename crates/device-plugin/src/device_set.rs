//! The devices of a resource at one moment.

use crate::device::{Device, DeviceId, DeviceIdError, Health};
use std::slice;

/// The devices of a resource at one moment: sorted by ID, each ID once.
///
/// Equal devices make equal sets, whatever order they came in, so that two sets can be
/// compared to find out whether the kubelet has news to hear.
///
/// A set has NUMA nodes for all of its devices or for none. As soon as one device of a
/// resource has them, the kubelet's topology manager aligns the whole resource, and devices
/// without could never be used under a strict policy. So when one device does not know its
/// NUMA nodes, the set forgets those of the others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeviceSet {
    devices: Vec<Device>,
}

/// Why devices do not make a set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceSetError {
    /// Two devices have one ID. The kubelet would see only one of them.
    #[error("two devices have the ID `{id}`")]
    Duplicate {
        /// The ID that they share.
        id: DeviceId,
    },
}

impl DeviceSet {
    /// Makes a set of `devices`, in any order.
    ///
    /// # Errors
    ///
    /// [`DeviceSetError::Duplicate`] when two of them have one ID.
    pub fn new(devices: impl IntoIterator<Item = Device>) -> Result<Self, DeviceSetError> {
        let mut set = Self {
            devices: devices.into_iter().collect(),
        };
        set.tidy();
        let twins = set.devices.windows(2).find_map(|pair| match pair {
            [a, b] if a.id == b.id => Some(a.id.clone()),
            _ => None,
        });
        if let Some(id) = twins {
            return Err(DeviceSetError::Duplicate { id });
        }
        Ok(set)
    }

    /// Returns `count` healthy devices that nothing tells apart, `NAME-0`, `NAME-1` and so on.
    ///
    /// For things that are counted and have no names: the containers that may share a device
    /// node, the seats of a licence.
    ///
    /// # Errors
    ///
    /// [`DeviceIdError`] when `name` is too long, or has characters that no ID has.
    pub fn numbered(name: &str, count: u32) -> Result<Self, DeviceIdError> {
        let device = |number| format!("{name}-{number}").parse().map(Device::healthy);
        let devices = (0..count).map(device).collect::<Result<_, _>>()?;
        let mut set = Self { devices };
        set.tidy();
        Ok(set)
    }

    /// Returns these devices, and those of `before` that are not among them as
    /// [`Unhealthy`](Health::Unhealthy).
    ///
    /// A container may hold a device that is lost, so that the kubelet must go on hearing of it.
    /// It stays for as long as the process runs: nothing here knows when the container ends.
    #[must_use]
    pub fn keeping(mut self, before: &Self) -> Self {
        let lost = before
            .iter()
            .filter(|device| self.get(&device.id).is_none());
        let lost: Vec<Device> = lost.cloned().collect();
        self.devices.extend(lost.into_iter().map(|device| Device {
            health: Health::Unhealthy,
            ..device
        }));
        self.tidy();
        self
    }

    /// Returns the devices in the order of their IDs.
    pub fn iter(&self) -> slice::Iter<'_, Device> {
        self.devices.iter()
    }

    /// Returns the device with that ID.
    pub fn get(&self, id: &DeviceId) -> Option<&Device> {
        let index = self.devices.binary_search_by(|device| device.id.cmp(id));
        self.devices.get(index.ok()?)
    }

    /// Sorts the devices, and has NUMA nodes for all or for none.
    fn tidy(&mut self) {
        let devices = &mut self.devices;
        devices.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let all_know = devices.iter().all(|device| !device.numa_nodes.is_empty());
        for device in devices {
            if all_know {
                device.numa_nodes.sort_unstable();
                device.numa_nodes.dedup();
            } else {
                device.numa_nodes.clear();
            }
        }
    }

    /// Returns how many devices there are.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether there is no device.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }
}

impl<'a> IntoIterator for &'a DeviceSet {
    type Item = &'a Device;
    type IntoIter = slice::Iter<'a, Device>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Health;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn device(id: &str, numa_nodes: &[u32]) -> Device {
        Device {
            id: id.parse().unwrap(),
            health: Health::Healthy,
            numa_nodes: numa_nodes.to_vec(),
        }
    }

    #[test]
    fn one_device_without_numa_nodes_silences_all() {
        let set = DeviceSet::new([device("b", &[1]), device("a", &[])]).unwrap();
        assert!(set.iter().all(|device| device.numa_nodes.is_empty()));

        let set = DeviceSet::new([device("b", &[1, 0, 1]), device("a", &[2])]).unwrap();
        let nodes: Vec<_> = set.iter().map(|device| device.numa_nodes.clone()).collect();
        assert_eq!(nodes, [vec![2], vec![0, 1]]);
    }

    #[test]
    fn what_is_numbered_is_told_apart_by_its_number() {
        let set = DeviceSet::numbered("kvm", 11).unwrap();
        let ids: Vec<&str> = set.iter().map(|device| device.id.as_str()).collect();
        assert_eq!(ids[..4], ["kvm-0", "kvm-1", "kvm-10", "kvm-2"], "as text");
        assert!(set.get(&"kvm-9".parse().unwrap()).is_some());
        assert!(DeviceSet::numbered(&"a".repeat(62), 1).is_err());
        assert!(DeviceSet::numbered("a b", 0).unwrap().is_empty());
    }

    #[test]
    fn what_is_lost_is_kept_unhealthy_and_what_is_back_is_healthy() {
        let before = DeviceSet::new([device("a", &[0]), device("b", &[1])]).unwrap();
        let lost = DeviceSet::new([device("c", &[1])])
            .unwrap()
            .keeping(&before);
        let shown: Vec<_> = lost.iter().map(|d| (d.id.as_str(), d.health)).collect();
        let (gone, here) = (Health::Unhealthy, Health::Healthy);
        assert_eq!(shown, [("a", gone), ("b", gone), ("c", here)]);
        assert!(lost.iter().all(|device| !device.numa_nodes.is_empty()));

        let all = [device("a", &[0]), device("b", &[1]), device("c", &[1])];
        let all = DeviceSet::new(all).unwrap();
        assert_eq!(all.clone().keeping(&lost), all);
    }

    proptest! {
        #[test]
        fn order_has_no_meaning_and_duplicates_are_refused(ids in prop::collection::vec("[a-e]{1,2}", 0..12)) {
            let unique: BTreeSet<&String> = ids.iter().collect();
            let forward = DeviceSet::new(ids.iter().map(|id| device(id, &[])));
            let backward = DeviceSet::new(ids.iter().rev().map(|id| device(id, &[])));
            prop_assert_eq!(&forward, &backward);
            match forward {
                Ok(set) => {
                    prop_assert_eq!(set.len(), ids.len());
                    prop_assert_eq!(set.is_empty(), ids.is_empty());
                    let listed: Vec<&str> = set.iter().map(|device| device.id.as_str()).collect();
                    prop_assert!(listed.is_sorted());
                    for id in &unique {
                        prop_assert!(set.get(&id.parse().unwrap()).is_some());
                    }
                    prop_assert!(set.get(&"zz".parse().unwrap()).is_none());
                }
                Err(DeviceSetError::Duplicate { id }) => {
                    prop_assert!(unique.len() < ids.len());
                    prop_assert!(ids.iter().filter(|other| *other == id.as_str()).count() > 1);
                }
            }
        }
    }
}
