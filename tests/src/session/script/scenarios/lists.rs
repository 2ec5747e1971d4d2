//! Device lists, and the ends of streams.

use super::{
    super::{
        Device,
        Method::ListAndWatch,
        Scenario,
        Step::{
            Allocatable, Allocated, Break, Call, Closed, Delete, EndStream, HugeList, List, Quiet,
            Register, Serve, Unlink,
        },
    },
    pod,
};

const LISTS: &str = "example.com/lists";
const ENDS: &str = "example.com/ends";
const SPACES: &str = "a device with spaces/and:signs";
const LONG: &str = "an-id-of-seventy-one-characters-is-longer-than-the-interface-permits---";
const E0: &[Device] = &[("e0", "Healthy", None)];
const HEALTH: &[Device] = &[
    ("l0", "Healthy", None),
    ("l1", "healthy", None),
    ("l2", "", None),
    ("l3", "Unhealthy", None),
];
const DUPLICATES: &[Device] = &[
    ("l0", "Healthy", None),
    ("l0", "Unhealthy", None),
    ("l1", "Unhealthy", None),
    ("l1", "Healthy", None),
];
const IDS: &[Device] = &[
    ("", "Healthy", None),
    (SPACES, "Healthy", None),
    (LONG, "Healthy", None),
];
const NUMA: &[Device] = &[
    ("l0", "Healthy", Some(0)),
    ("l1", "Healthy", Some(7)),
    ("l2", "Healthy", None),
    ("l3", "Healthy", Some(-1)),
];
const MIXED: &[Device] = &[("l0", "Unhealthy", None), ("l1", "Healthy", None)];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "lists",
        about: "What a device list may contain",
        steps: &[
            Serve("lists.sock"),
            Register(LISTS, "lists.sock"),
            Call("lists.sock", ListAndWatch),
            Allocatable(LISTS, &[]),
            pod("lists-early", &[(LISTS, 1)]),
            Delete("lists-early"),
            List("lists.sock", &[]),
            Allocatable(LISTS, &[]),
            List("lists.sock", HEALTH),
            Allocatable(LISTS, &["l0"]),
            List("lists.sock", DUPLICATES),
            Allocatable(LISTS, &["l0", "l1"]),
            List("lists.sock", IDS),
            Allocatable(LISTS, &["", SPACES, LONG]),
            List("lists.sock", NUMA),
            Allocatable(LISTS, &["l0@0", "l1@7", "l2", "l3@-1"]),
            List("lists.sock", &[("l0", "Healthy", None)]),
            Allocatable(LISTS, &["l0"]),
            pod("lists-pod", &[(LISTS, 1)]),
            List("lists.sock", MIXED),
            Allocatable(LISTS, &["l1"]),
            Allocated("lists-pod"),
            List("lists.sock", &[]),
            Allocatable(LISTS, &[]),
            Allocated("lists-pod"),
            List("lists.sock", &[("l1", "Healthy", None)]),
            Allocatable(LISTS, &["l1"]),
            HugeList("lists.sock"),
            Closed("lists.sock", 1),
            Allocatable(LISTS, &[]),
            Delete("lists-pod"),
        ],
    },
    Scenario {
        name: "stream-ends",
        about: "The stream ends in order, with an error, with its connection; nothing is redialed",
        steps: &[
            Serve("ends.sock"),
            Register(ENDS, "ends.sock"),
            Call("ends.sock", ListAndWatch),
            List("ends.sock", E0),
            Allocatable(ENDS, &["e0"]),
            Unlink("ends.sock"),
            Quiet,
            Allocatable(ENDS, &["e0"]),
            pod("ends-unlinked", &[(ENDS, 1)]),
            Delete("ends-unlinked"),
            EndStream("ends.sock", 1, None),
            Closed("ends.sock", 1),
            Allocatable(ENDS, &[]),
            pod("ends-pod", &[(ENDS, 1)]),
            Delete("ends-pod"),
            Quiet,
            Serve("again.sock"),
            Register(ENDS, "again.sock"),
            Call("again.sock", ListAndWatch),
            List("again.sock", E0),
            Allocatable(ENDS, &["e0"]),
            EndStream("again.sock", 1, Some("no list today")),
            Closed("again.sock", 1),
            Allocatable(ENDS, &[]),
            Register(ENDS, "again.sock"),
            Call("again.sock", ListAndWatch),
            Allocatable(ENDS, &[]),
            List("again.sock", E0),
            Allocatable(ENDS, &["e0"]),
            Break("again.sock"),
            Closed("again.sock", 2),
            Allocatable(ENDS, &[]),
            Quiet,
        ],
    },
];
