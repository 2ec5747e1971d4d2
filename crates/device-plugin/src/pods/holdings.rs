//! Devices and who holds them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
};

/// A pod, as far as it is known.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pod {
    /// By name, as the pod resources interface tells it.
    Named {
        /// The namespace.
        namespace: String,
        /// The name in it.
        name: String,
    },
    /// By UID, which is all that the kubelet's checkpoint has.
    Uid(String),
}

/// A container that holds a device.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Holder {
    /// Its pod.
    pub pod: Pod,
    /// Its name in the pod.
    pub container: String,
}

/// Which container holds which device of which resource.
///
/// Resources and IDs are texts here, not [`ResourceName`](crate::ResourceName) and
/// [`DeviceId`](crate::DeviceId): those of other plugins are among them, and nothing that the
/// kubelet says is to be lost.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Holdings {
    /// By ID, then by resource.
    devices: BTreeMap<String, BTreeMap<String, BTreeSet<Holder>>>,
}

impl Holdings {
    /// Notes that `holder` holds a device.
    pub fn insert(&mut self, resource: &str, id: &str, holder: Holder) {
        let resources = self.devices.entry(id.to_owned()).or_default();
        let holders = resources.entry(resource.to_owned()).or_default();
        holders.insert(holder);
    }

    /// Adds the devices of `other` that are missing here, with their holders. A device that is listed here under the
    /// same resource keeps its holders: two sources may know one pod by its name and by its UID, and it is one pod.
    pub fn merge(&mut self, other: Self) {
        for (id, resources) in other.devices {
            let ours = self.devices.entry(id).or_default();
            for (resource, holders) in resources {
                ours.entry(resource).or_insert(holders);
            }
        }
    }

    /// Whether a device of that ID is held, under whatever resource.
    pub fn is_held(&self, id: &str) -> bool {
        self.devices.contains_key(id)
    }

    /// Returns under which resource a device of that ID is held, and by whom: the first of each, in
    /// order of the names.
    pub fn holder(&self, id: &str) -> Option<(&str, &Holder)> {
        let (resource, holders) = self.devices.get(id)?.iter().next()?;
        Some((resource, holders.first()?))
    }

    /// Returns under which resource other than `resource` a device of that ID is held, and by
    /// whom: the first of each, in order of the names.
    pub fn elsewhere(&self, id: &str, resource: &str) -> Option<(&str, &Holder)> {
        let resources = self.devices.get(id)?;
        let (other, holders) = resources.iter().find(|(other, _)| *other != resource)?;
        Some((other, holders.first()?))
    }

    /// Returns each device with its resource and each of its holders, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Holder)> {
        self.devices.iter().flat_map(|(id, resources)| {
            resources.iter().flat_map(move |(resource, holders)| {
                let holders = holders.iter();
                holders.map(move |holder| (id.as_str(), resource.as_str(), holder))
            })
        })
    }

    /// Returns how many device IDs are held.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }
}

impl Display for Pod {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { namespace, name } => write!(f, "pod {namespace}/{name}"),
            Self::Uid(uid) => write!(f, "the pod with UID {uid}"),
        }
    }
}

impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { pod, container } = self;
        write!(f, "container {container} of {pod}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pod: &str) -> Holder {
        Holder {
            pod: Pod::Named {
                namespace: "default".to_owned(),
                name: pod.to_owned(),
            },
            container: "main".to_owned(),
        }
    }

    #[test]
    fn a_device_is_found_under_another_resource_and_not_under_its_own() {
        let mut held = Holdings::default();
        held.insert("example.com/old", "a", holder("p"));
        assert!(held.is_held("a") && !held.is_held("b"));
        assert_eq!(held.elsewhere("a", "example.com/old"), None);
        let (resource, who) = held.elsewhere("a", "example.com/new").unwrap();
        assert_eq!(resource, "example.com/old");
        assert_eq!(who.to_string(), "container main of pod default/p");
    }

    #[test]
    fn merge_adds_missing_devices_and_no_second_holder() {
        let mut first = Holdings::default();
        first.insert("example.com/x", "a", holder("p"));
        let by_uid = || Holder {
            pod: Pod::Uid("u".to_owned()),
            container: "main".to_owned(),
        };
        let mut second = Holdings::default();
        for (resource, id) in [
            ("example.com/x", "a"),
            ("example.com/y", "a"),
            ("example.com/y", "b"),
        ] {
            second.insert(resource, id, by_uid());
        }
        first.merge(second);
        let mut expected = Holdings::default();
        expected.insert("example.com/x", "a", holder("p"));
        expected.insert("example.com/y", "a", by_uid());
        expected.insert("example.com/y", "b", by_uid());
        assert_eq!(first, expected);
    }
}
