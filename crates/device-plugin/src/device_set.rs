//! The devices of a resource at one moment.

use crate::device::{Device, DeviceId};
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
        let mut devices: Vec<Device> = devices.into_iter().collect();
        devices.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let twins = devices.windows(2).find_map(|pair| match pair {
            [a, b] if a.id == b.id => Some(a.id.clone()),
            _ => None,
        });
        if let Some(id) = twins {
            return Err(DeviceSetError::Duplicate { id });
        }
        let all_know = devices.iter().all(|device| !device.numa_nodes.is_empty());
        for device in &mut devices {
            if all_know {
                device.numa_nodes.sort_unstable();
                device.numa_nodes.dedup();
            } else {
                device.numa_nodes.clear();
            }
        }
        Ok(Self { devices })
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
