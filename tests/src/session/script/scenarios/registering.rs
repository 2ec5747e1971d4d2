//! From `Register` to a stream, once and again.

use super::{
    super::{
        Answer, Device,
        Method::{GetDevicePluginOptions, GetPreferredAllocation, ListAndWatch},
        Scenario,
        Step::{
            self, Allocatable, Allocated, Burst, Call, Closed, Delete, EndStream, Headers, List,
            Listen, Modes, Quiet, Register, RegisterBad, RegisterWith, Serve,
        },
    },
    answer, options, pod, pod_of,
};

const FIRST: &str = "example.com/first";
const FIRST_DEVICES: &[Device] = &[
    ("f0", "Healthy", Some(0)),
    ("f1", "Healthy", Some(0)),
    ("f2", "Unhealthy", Some(0)),
];
const NO_OPTIONS: Answer = Answer::Error("no options today");
const OPTIONS: &str = "example.com/options";
const OPTIONS_DEVICES: &[Device] = &[("o0", "Healthy", None), ("o1", "Healthy", None)];
const SAME: &str = "example.com/same";
const TWICE: &str = "example.com/twice";
const TWICE_DEVICES: &[Device] = &[("t0", "Healthy", None), ("t1", "Healthy", None)];

const fn named(version: &'static str, resource: &'static str) -> Step {
    RegisterBad {
        version,
        resource,
        socket: "names.sock",
    }
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "first-contact",
        about: "A plugin with all options, and the life of some pods",
        steps: &[
            Serve("first.sock"),
            options("first.sock", true, true),
            Register(FIRST, "first.sock"),
            Call("first.sock", GetDevicePluginOptions),
            Call("first.sock", ListAndWatch),
            List("first.sock", FIRST_DEVICES),
            Allocatable(FIRST, &["f0@0", "f1@0"]),
            answer(
                "first.sock",
                GetPreferredAllocation,
                Answer::Prefer(&["f1"]),
            ),
            pod("first-one", &[(FIRST, 1)]),
            Allocated("first-one"),
            Allocatable(FIRST, &["f0@0", "f1@0"]),
            pod("first-two", &[(FIRST, 1)]),
            pod("first-three", &[(FIRST, 1)]),
            Delete("first-three"),
            Delete("first-one"),
            Delete("first-two"),
            Quiet,
            pod("first-four", &[(FIRST, 2)]),
            Headers("first.sock"),
            Modes,
            Burst,
            Delete("first-four"),
        ],
    },
    Scenario {
        name: "names",
        about: "Versions and resource names that are rejected without a dial",
        steps: &[
            Serve("names.sock"),
            named("v1alpha1", "example.com/names"),
            named("v1", "example.com/names"),
            named("", "example.com/names"),
            named("v1beta1", ""),
            named("v1beta1", "names"),
            named("v1beta1", "example.com/"),
            named("v1beta1", "Example.com/names"),
            named("v1beta1", "example.com/na/mes"),
            named("v1beta1", "example.com/-names"),
            named("v1beta1", "node.kubernetes.io/names"),
            named("v1beta1", "requests.example.com/names"),
            Quiet,
        ],
    },
    Scenario {
        name: "no-socket",
        about: "An endpoint where no socket is",
        steps: &[Register("example.com/nowhere", "nowhere.sock")],
    },
    Scenario {
        name: "mute-socket",
        about: "A socket that listens and does not serve",
        steps: &[
            Listen("mute.sock"),
            Register("example.com/mute", "mute.sock"),
        ],
    },
    Scenario {
        name: "endpoints",
        about: "Endpoints that are a path",
        steps: &[
            Serve("folder/inner.sock"),
            Register("example.com/inner", "folder/inner.sock"),
            Call("folder/inner.sock", ListAndWatch),
            Serve("absolute.sock"),
            Register("example.com/absolute", "/absolute.sock"),
            Call("absolute.sock", ListAndWatch),
        ],
    },
    Scenario {
        name: "options",
        about: "GetDevicePluginOptions fails, is slow, and differs from Register",
        steps: &[
            Serve("options.sock"),
            answer("options.sock", GetDevicePluginOptions, NO_OPTIONS),
            Register(OPTIONS, "options.sock"),
            Closed("options.sock", 1),
            answer("options.sock", GetDevicePluginOptions, Answer::Slow),
            RegisterWith(OPTIONS, "options.sock", true, true),
            Call("options.sock", ListAndWatch),
            List("options.sock", OPTIONS_DEVICES),
            Allocatable(OPTIONS, &["o0", "o1"]),
            pod_of("options-pod", &[(OPTIONS, 1)], &["neither"]),
            Delete("options-pod"),
        ],
    },
    Scenario {
        name: "two-registrations",
        about: "A second registration while the first stream is open, which then ends late",
        steps: &[
            Serve("old.sock"),
            Register(TWICE, "old.sock"),
            Call("old.sock", ListAndWatch),
            List("old.sock", TWICE_DEVICES),
            Allocatable(TWICE, &["t0", "t1"]),
            Serve("new.sock"),
            Register(TWICE, "new.sock"),
            Call("new.sock", ListAndWatch),
            Allocatable(TWICE, &["t0", "t1"]),
            List("new.sock", &[("t0", "Healthy", None)]),
            Allocatable(TWICE, &["t0"]),
            List("old.sock", &[("t1", "Healthy", None)]),
            Allocatable(TWICE, &["t1"]),
            EndStream("old.sock", 1, None),
            Closed("old.sock", 1),
            Quiet,
            Allocatable(TWICE, &["t1"]),
            pod("twice-pod", &[(TWICE, 1)]),
            Delete("twice-pod"),
        ],
    },
    Scenario {
        name: "same-socket",
        about: "A second registration from a socket that is connected, and what is left of it",
        steps: &[
            Serve("same.sock"),
            Register(SAME, "same.sock"),
            Call("same.sock", ListAndWatch),
            List("same.sock", &[("s0", "Healthy", None)]),
            Allocatable(SAME, &["s0"]),
            Register(SAME, "same.sock"),
            Quiet,
            List("same.sock", &[("s1", "Healthy", None)]),
            Allocatable(SAME, &["s1"]),
            EndStream("same.sock", 1, None),
            Closed("same.sock", 1),
            Allocatable(SAME, &["s1"]),
            pod("same-pod", &[(SAME, 1)]),
            Delete("same-pod"),
            Register(SAME, "same.sock"),
            Quiet,
            Serve("fresh.sock"),
            Register(SAME, "fresh.sock"),
            Call("fresh.sock", ListAndWatch),
            List("fresh.sock", &[("s2", "Healthy", None)]),
            Allocatable(SAME, &["s2"]),
            EndStream("fresh.sock", 1, None),
            Closed("fresh.sock", 1),
            Allocatable(SAME, &["s2"]),
        ],
    },
    Scenario {
        name: "shared-socket",
        about: "Two resources on one socket",
        steps: &[
            Serve("shared.sock"),
            Register("example.com/one", "shared.sock"),
            Call("shared.sock", ListAndWatch),
            List("shared.sock", &[("h1", "Healthy", None)]),
            Allocatable("example.com/one", &["h1"]),
            Register("example.com/two", "shared.sock"),
            Call("shared.sock", ListAndWatch),
            List("shared.sock", &[("h2", "Healthy", None)]),
            Allocatable("example.com/two", &["h2"]),
            EndStream("shared.sock", 1, None),
            Closed("shared.sock", 1),
            Allocatable("example.com/one", &[]),
            Allocatable("example.com/two", &["h2"]),
        ],
    },
];
