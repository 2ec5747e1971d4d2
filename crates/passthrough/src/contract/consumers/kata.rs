//! Kata Containers: two runtimes, and an agent in the guest.
//!
//! Both runtimes can plug a function while the machine runs (hot plug: from the nodes of the container) or before it
//! boots (cold plug: from the kubelet's pod resources and CDI). The agent in the guest corrects addresses in the
//! environment, in all cases alike.

use super::super::{Contract, Naming, Rule};

/// Kata's Go runtime, hot plug (`hot_plug_vfio`).
///
/// Every node below `/dev/vfio` but the control node is a device to be plugged; a group's node stands for all of its
/// group that is no bridge. The runtime tells the agent addresses with domain 0000, whatever theirs is.
pub const KATA_GO: Contract = Contract {
    code: "kata-go",
    title: "Kata, Go runtime, hot plug",
    source: "kata-containers/kata-containers src/runtime/pkg/device/manager/utils.go, src/runtime/pkg/device/drivers/utils.go, \
             src/runtime/virtcontainers/kata_agent.go, src/agent/src/device/mod.rs",
    rules: &[
        Rule::NotUio,
        Rule::Addresses(Naming::Sriov),
        Rule::Info,
        Rule::DomainZero,
        Rule::OneNodeEach,
        Rule::NoCompanions,
        Rule::NoIommuNode,
    ],
};

/// Kata's Go runtime, cold plug (`cold_plug_vfio` and `pod_resource_api_sock`).
///
/// For each device that pod resources tell of, it looks up `<resource>=<ID>` in CDI. One name that is not found fails
/// the pod. The container's own nodes must be the same, or they are plugged beside.
pub const KATA_GO_COLD: Contract = Contract {
    code: "kata-go-cold",
    title: "Kata, Go runtime, cold plug",
    source: "kata-containers/kata-containers src/runtime/pkg/containerd-shim-v2/device_cold_plug.go, \
             src/runtime/pkg/device/config/config.go, src/agent/src/device/mod.rs",
    rules: &[
        Rule::NotUio,
        Rule::Addresses(Naming::Sriov),
        Rule::Info,
        Rule::DomainZero,
        Rule::CdiDevices,
        Rule::CdiNodes,
        Rule::OneNodeEach,
        Rule::NoCompanions,
        Rule::NoIommuNode,
    ],
};

/// Kata's Rust runtime, hot plug.
pub const KATA_RS: Contract = Contract {
    code: "kata-rs",
    title: "Kata, Rust runtime, hot plug",
    source: "kata-containers/kata-containers src/runtime-rs/crates/resource/src/manager_inner.rs, \
             src/runtime-rs/crates/hypervisor/src/device/driver/vfio_device/mod.rs, src/agent/src/device/mod.rs",
    rules: &[
        Rule::NotUio,
        Rule::Addresses(Naming::Sriov),
        Rule::Info,
        Rule::OneNodeEach,
        Rule::NoCompanions,
        Rule::NoIommuNode,
    ],
};

/// Kata's Rust runtime, cold plug.
///
/// It takes the nodes of the CDI device itself, not those of the whole file, and plugs every one of them: one that is
/// no node of VFIO fails the pod.
pub const KATA_RS_COLD: Contract = Contract {
    code: "kata-rs-cold",
    title: "Kata, Rust runtime, cold plug",
    source: "kata-containers/kata-containers src/libs/pod-resources-rs/src/lib.rs, \
             src/runtime-rs/crates/runtimes/virt_container/src/sandbox.rs, src/agent/src/device/mod.rs",
    rules: &[
        Rule::NotUio,
        Rule::Addresses(Naming::Sriov),
        Rule::Info,
        Rule::CdiDevices,
        Rule::CdiNodes,
        Rule::OneNodeEach,
        Rule::NoCompanions,
        Rule::NoIommuNode,
    ],
};
