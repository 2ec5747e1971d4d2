//! The IDs of a request, checked against the devices that there are.

use crate::{
    device::{DeviceId, Health},
    device_set::DeviceSet,
    error::AllocateError,
};
use std::collections::BTreeSet;

/// What a request demands of its devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Demand {
    /// They exist.
    Known,
    /// They exist, and may be given to a container.
    Healthy,
}

/// Checks every ID of a container's request, and returns them sorted. Why a device is unhealthy is not known here.
///
/// `taken` holds what other containers of the same call were given, and grows by these.
pub(crate) fn check(
    requested: Vec<String>,
    devices: &DeviceSet,
    demand: Demand,
    taken: &mut BTreeSet<DeviceId>,
) -> Result<Vec<DeviceId>, AllocateError> {
    if requested.is_empty() {
        return Err(AllocateError::Empty);
    }
    let mut ids = Vec::with_capacity(requested.len());
    for text in requested {
        let Ok(id) = text.parse::<DeviceId>() else {
            return Err(AllocateError::Malformed { text });
        };
        let Some(device) = devices.get(&id) else {
            return Err(AllocateError::Unknown { id });
        };
        if demand == Demand::Healthy && device.health != Health::Healthy {
            return Err(AllocateError::Unhealthy { id, why: None });
        }
        if !taken.insert(id.clone()) {
            return Err(AllocateError::Duplicate { id });
        }
        ids.push(id);
    }
    ids.sort_unstable();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    fn devices() -> DeviceSet {
        let device = |id: &str, health| Device {
            id: id.parse().unwrap(),
            health,
            numa_nodes: Vec::new(),
        };
        DeviceSet::new([
            device("a", Health::Healthy),
            device("b", Health::Healthy),
            device("sick", Health::Unhealthy),
        ])
        .unwrap()
    }

    fn run(ids: &[&str], demand: Demand) -> Result<Vec<String>, AllocateError> {
        let requested = ids.iter().map(|&id| id.to_owned()).collect();
        let ids = check(requested, &devices(), demand, &mut BTreeSet::new())?;
        Ok(ids.into_iter().map(String::from).collect())
    }

    #[test]
    fn every_id_is_checked_and_the_answer_is_sorted() {
        let text = |text: &str| text.to_owned();
        let id = |id: &str| id.parse().unwrap();
        assert_eq!(
            run(&["b", "a"], Demand::Healthy),
            Ok(vec![text("a"), text("b")])
        );
        assert_eq!(run(&["sick"], Demand::Known), Ok(vec![text("sick")]));
        assert_eq!(run(&[], Demand::Healthy), Err(AllocateError::Empty));
        let refused = [
            (&["a", "x"][..], AllocateError::Unknown { id: id("x") }),
            (&[""], AllocateError::Malformed { text: text("") }),
            (&["a\n"], AllocateError::Malformed { text: text("a\n") }),
            (
                &["a", "sick"],
                AllocateError::Unhealthy {
                    id: id("sick"),
                    why: None,
                },
            ),
            (&["a", "b", "a"], AllocateError::Duplicate { id: id("a") }),
        ];
        for (ids, error) in refused {
            assert_eq!(run(ids, Demand::Healthy), Err(error), "{ids:?}");
        }
    }

    #[test]
    fn one_device_is_not_given_to_two_containers_of_a_call() {
        let mut taken = BTreeSet::new();
        let mut next =
            |id: &str| check(vec![id.to_owned()], &devices(), Demand::Healthy, &mut taken);
        assert!(next("a").is_ok());
        assert!(next("b").is_ok());
        assert!(matches!(next("a"), Err(AllocateError::Duplicate { .. })));
    }
}
