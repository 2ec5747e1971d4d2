//! What the kubelet saw and what a pod got, as text that a person can review.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use node_sim::{Pod, ResourceView};

/// One resource: its counts and every device, a line for each bus.
pub(crate) fn resource(view: &ResourceView) -> String {
    let mut text = format!(
        "{}\n  socket {}\n  capacity {} allocatable {} lists {}\n",
        view.name, view.endpoint, view.capacity, view.allocatable, view.lists_received,
    );
    let mut buses: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for device in &view.devices {
        let (bus, function) = device.id.rsplit_once(':').unwrap();
        let health = if device.healthy {
            "Healthy"
        } else {
            "Unhealthy"
        };
        let group = (bus, format!("{health}, NUMA {:?}", device.numa));
        buses.entry(group).or_default().push(function);
    }
    for ((bus, state), functions) in buses {
        writeln!(text, "  {bus}: {} ({state})", functions.join(" ")).unwrap();
    }
    text
}

/// What a container was given.
pub(crate) fn pod(pod: &Pod) -> String {
    let mut text = String::new();
    for line in pod.answer.to_string().lines() {
        writeln!(text, "  {line}").unwrap();
    }
    text
}
