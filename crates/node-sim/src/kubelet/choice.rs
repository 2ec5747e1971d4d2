//! Which devices a container gets: the kubelet's own part of the choice.

use std::collections::BTreeSet;

use super::{pod::AdmissionError, state::State, view::SimDevice};

/// A choice on its way. All lists are in random order, as from a set in Go.
///
/// Follows `devicesToAllocate` and `filterByAffinity` of the kubelet's device manager.
#[derive(Debug)]
pub(super) struct Choice {
    /// How many devices the container asks for.
    pub(super) requested: usize,
    /// What it gets so far.
    pub(super) taken: Vec<String>,
    /// Free devices on a NUMA node that the topology manager prefers.
    pub(super) aligned: Vec<String>,
    /// Free devices on other NUMA nodes, then those that are on none. Without a preference
    /// of the topology manager all devices are here.
    pub(super) rest: Vec<String>,
}

impl Choice {
    /// Looks at what is healthy and free.
    pub(super) fn new(
        state: &mut State,
        name: &str,
        requested: usize,
        affinity: &BTreeSet<i64>,
    ) -> Result<Self, AdmissionError> {
        state.expire();
        let resource = name.to_owned();
        let Some(known) = state.resources.get(name) else {
            return Err(AdmissionError::Unregistered { resource });
        };
        if known.healthy().next().is_none() {
            return Err(AdmissionError::NoHealthyDevices { resource });
        }
        let assigned = state.assigned(name);
        let mut free: Vec<_> = known
            .healthy()
            .filter(|device| !assigned.contains(&device.id))
            .cloned()
            .collect();
        if free.len() < requested {
            return Err(AdmissionError::Unavailable {
                resource,
                requested,
                available: free.len(),
            });
        }
        state.random.shuffle(&mut free);
        let (aligned, mut rest): (Vec<_>, Vec<_>) = free
            .into_iter()
            .partition(|device| device.numa.iter().any(|node| affinity.contains(node)));
        // Stable: the order inside of both halves stays random.
        rest.sort_by_key(|device| !affinity.is_empty() && device.numa.is_empty());
        let ids = |devices: Vec<SimDevice>| devices.into_iter().map(|device| device.id).collect();
        Ok(Self {
            requested,
            taken: Vec::new(),
            aligned: ids(aligned),
            rest: ids(rest),
        })
    }

    pub(super) fn is_done(&self) -> bool {
        self.taken.len() >= self.requested
    }

    /// Whether more devices are aligned than needed, so that the plugin may choose.
    pub(super) fn has_spare_aligned(&self) -> bool {
        self.requested - self.taken.len() < self.aligned.len()
    }

    /// Takes from `wanted` what is allowed and not taken yet, until there is enough.
    pub(super) fn take(&mut self, wanted: &[String], allowed: &[String]) {
        for id in wanted {
            if self.is_done() {
                return;
            }
            if allowed.contains(id) && !self.taken.contains(id) {
                self.taken.push(id.clone());
            }
        }
    }
}
