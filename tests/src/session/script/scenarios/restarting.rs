//! A restart of the kubelet.

use super::{
    super::{
        Device,
        Method::ListAndWatch,
        Scenario,
        Step::{
            Allocatable, Allocated, Call, Closed, Delete, List, Quiet, Register, Restart, Serve,
        },
    },
    options, pod,
};

const RESTART: &str = "example.com/restart";
const DEVICES: &[Device] = &[("k0", "Healthy", None), ("k1", "Healthy", None)];

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "restart",
    about: "The kubelet restarts under a pod with a device",
    steps: &[
        Serve("restart.sock"),
        options("restart.sock", true, true),
        Register(RESTART, "restart.sock"),
        Call("restart.sock", ListAndWatch),
        List("restart.sock", &[("k0", "Healthy", None)]),
        Allocatable(RESTART, &["k0"]),
        pod("restart-pod", &[(RESTART, 1)]),
        Restart,
        Closed("restart.sock", 1),
        Quiet,
        Allocatable(RESTART, &[]),
        Allocated("restart-pod"),
        pod("restart-early", &[(RESTART, 1)]),
        Delete("restart-early"),
        Serve("back.sock"),
        options("back.sock", true, true),
        Register(RESTART, "back.sock"),
        Call("back.sock", ListAndWatch),
        List("back.sock", DEVICES),
        Allocatable(RESTART, &["k0", "k1"]),
        Quiet,
        Allocated("restart-pod"),
        pod("restart-next", &[(RESTART, 1)]),
        Delete("restart-next"),
        Delete("restart-pod"),
    ],
}];
