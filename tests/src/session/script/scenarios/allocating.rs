//! The calls on behalf of a pod, and answers to them.

use super::{
    super::{
        Answer, Device,
        Method::{Allocate, GetPreferredAllocation, ListAndWatch, PreStartContainer},
        Scenario,
        Step::{self, Allocatable, Allocated, Call, Delete, List, Register, Serve, Started},
    },
    answer, options, pod, pod_of,
};

const ALLOCATE: &str = "example.com/allocate";
const ALLOCATE_DEVICES: &[Device] = &[("a0", "Healthy", Some(0)), ("a1", "Healthy", Some(1))];
const EMPTY: &str = "example.com/empty";
const PREFERRED: &str = "example.com/preferred";
const PREFERRED_DEVICES: &[Device] = &[
    ("p0", "Healthy", None),
    ("p1", "Healthy", None),
    ("p2", "Healthy", None),
];
const PRE: &str = "example.com/pre";
const LEFT: &str = "example.com/left";
const RIGHT: &str = "example.com/right";
const RIGHT_DEVICES: &[Device] = &[("y0", "Healthy", None), ("y1", "Healthy", None)];

const fn allocate(with: Answer) -> Step {
    answer("allocate.sock", Allocate, with)
}

const fn prefer(with: Answer) -> Step {
    answer("preferred.sock", GetPreferredAllocation, with)
}

const fn pre_start(with: Answer) -> Step {
    answer("pre.sock", PreStartContainer, with)
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "allocate",
        about: "Answers to Allocate",
        steps: &[
            Serve("allocate.sock"),
            Register(ALLOCATE, "allocate.sock"),
            Call("allocate.sock", ListAndWatch),
            List("allocate.sock", ALLOCATE_DEVICES),
            Allocatable(ALLOCATE, &["a0@0", "a1@1"]),
            allocate(Answer::Error("`a0` is in use; see `dmesg`")),
            pod("allocate-error", &[(ALLOCATE, 2)]),
            Delete("allocate-error"),
            allocate(Answer::Huge),
            pod("allocate-huge", &[(ALLOCATE, 2)]),
            Delete("allocate-huge"),
            pod("allocate-many", &[(ALLOCATE, 3)]),
            Delete("allocate-many"),
            allocate(Answer::Two),
            pod("allocate-two", &[(ALLOCATE, 2)]),
            Allocated("allocate-two"),
            Delete("allocate-two"),
            allocate(Answer::Slow),
            pod("allocate-slow", &[(ALLOCATE, 2)]),
            Delete("allocate-slow"),
            allocate(Answer::Break),
            pod("allocate-break", &[(ALLOCATE, 2)]),
            Allocatable(ALLOCATE, &[]),
            Delete("allocate-break"),
            pod("allocate-unknown", &[("example.com/unknown", 1)]),
            Delete("allocate-unknown"),
        ],
    },
    Scenario {
        name: "empty-answer",
        about: "An answer to Allocate without a container response",
        steps: &[
            Serve("empty.sock"),
            Register(EMPTY, "empty.sock"),
            Call("empty.sock", ListAndWatch),
            List("empty.sock", &[("n0", "Healthy", None)]),
            Allocatable(EMPTY, &["n0"]),
            answer("empty.sock", Allocate, Answer::Empty),
            pod("empty-pod", &[(EMPTY, 1)]),
            Delete("empty-pod"),
            pod("empty-next", &[(EMPTY, 1)]),
            Delete("empty-next"),
        ],
    },
    Scenario {
        name: "preferred",
        about: "Answers to GetPreferredAllocation",
        steps: &[
            Serve("preferred.sock"),
            options("preferred.sock", true, false),
            Register(PREFERRED, "preferred.sock"),
            Call("preferred.sock", ListAndWatch),
            List("preferred.sock", PREFERRED_DEVICES),
            Allocatable(PREFERRED, &["p0", "p1", "p2"]),
            prefer(Answer::Prefer(&["p0", "p2"])),
            pod("preferred-exact", &[(PREFERRED, 2)]),
            Delete("preferred-exact"),
            prefer(Answer::Prefer(&["stranger", "p1", "p1"])),
            pod_of("preferred-foreign", &[(PREFERRED, 2)], &["p1"]),
            Delete("preferred-foreign"),
            prefer(Answer::Prefer(&["p0", "p1", "p2"])),
            pod_of("preferred-long", &[(PREFERRED, 2)], &["neither"]),
            Delete("preferred-long"),
            prefer(Answer::Empty),
            pod_of("preferred-empty", &[(PREFERRED, 2)], &["neither"]),
            Delete("preferred-empty"),
            pod("preferred-all", &[(PREFERRED, 3)]),
            Delete("preferred-all"),
            prefer(Answer::Error("no preference today")),
            pod_of("preferred-error", &[(PREFERRED, 2)], &["neither"]),
            Delete("preferred-error"),
        ],
    },
    Scenario {
        name: "pre-start",
        about: "Answers to PreStartContainer",
        steps: &[
            Serve("pre.sock"),
            options("pre.sock", false, true),
            Register(PRE, "pre.sock"),
            Call("pre.sock", ListAndWatch),
            List("pre.sock", &[("r0", "Healthy", None)]),
            Allocatable(PRE, &["r0"]),
            pre_start(Answer::Errors("`r0` is not ready yet")),
            pod("pre-error", &[(PRE, 1)]),
            Allocated("pre-error"),
            pre_start(Answer::Usual),
            Started("pre-error"),
            Delete("pre-error"),
            pre_start(Answer::Slow),
            pod("pre-slow", &[(PRE, 1)]),
            Delete("pre-slow"),
        ],
    },
    Scenario {
        name: "two-resources",
        about: "One container with devices of two resources",
        steps: &[
            Serve("left.sock"),
            Register(LEFT, "left.sock"),
            Call("left.sock", ListAndWatch),
            List("left.sock", &[("x0", "Healthy", None)]),
            Serve("right.sock"),
            Register(RIGHT, "right.sock"),
            Call("right.sock", ListAndWatch),
            List("right.sock", RIGHT_DEVICES),
            Allocatable(LEFT, &["x0"]),
            Allocatable(RIGHT, &["y0", "y1"]),
            pod("two-pod", &[(LEFT, 1), (RIGHT, 2)]),
            Allocated("two-pod"),
            Delete("two-pod"),
        ],
    },
];
