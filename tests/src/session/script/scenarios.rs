//! The scenarios, grouped by what they are about.

mod allocating;
mod lists;
mod registering;
mod restarting;

use super::{Answer, Method, Resource, Scenario, Socket, Step};

/// All scenarios, the restart of the kubelet last.
pub(in super::super) fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    let groups = [
        registering::SCENARIOS,
        lists::SCENARIOS,
        allocating::SCENARIOS,
        restarting::SCENARIOS,
    ];
    groups.into_iter().flatten()
}

const fn answer(socket: Socket, method: Method, answer: Answer) -> Step {
    Step::Answer(socket, method, answer)
}

const fn options(socket: Socket, preferred: bool, pre_start: bool) -> Step {
    let options = Answer::Options(preferred, pre_start);
    Step::Answer(socket, Method::GetDevicePluginOptions, options)
}

/// A pod that gets all devices, or none, or those that the plugin prefers.
const fn pod(pod: &'static str, requests: &'static [(Resource, usize)]) -> Step {
    let named = &[];
    Step::Pod {
        pod,
        requests,
        named,
    }
}

/// A pod of which the kubelet chooses some devices.
const fn pod_of(
    pod: &'static str,
    requests: &'static [(Resource, usize)],
    named: &'static [&'static str],
) -> Step {
    Step::Pod {
        pod,
        requests,
        named,
    }
}
