//! What a caller can ask of the kubelet before and while it runs.

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// How a [`Kubelet`](crate::Kubelet) behaves.
///
/// The default is a healthy kubelet of Kubernetes 1.36 with a random seed, the race after a
/// second registration included.
///
/// ```
/// use std::time::Duration;
/// use node_sim::{Fault, KubeletOptions, Reregistration};
///
/// let options = KubeletOptions::new()
///     .seed(7)
///     .reregistration(Reregistration::Fixed)
///     .once(Fault::DelayOptions(Duration::from_millis(200)))
///     .always(Fault::NoDialBack);
/// # drop(options);
/// ```
#[derive(Clone, Debug)]
pub struct KubeletOptions {
    pub(super) seed: u64,
    pub(super) sockets: Restart,
    pub(super) late_socket: Duration,
    pub(super) reregistration: Reregistration,
    pub(super) dial_timeout: Duration,
    pub(super) pre_start_timeout: Duration,
    pub(super) stop_grace: Duration,
    pub(super) pod_resources: PodResources,
    pub(super) faults: Vec<(Fault, Times)>,
}

impl Default for KubeletOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl KubeletOptions {
    /// The behaviour and the timeouts of Kubernetes 1.36.
    pub fn new() -> Self {
        Self {
            seed: RandomState::new().build_hasher().finish(),
            sockets: Restart::WipeSockets,
            late_socket: Duration::ZERO,
            reregistration: Reregistration::RaceUntil136,
            dial_timeout: Duration::from_secs(10),
            pre_start_timeout: Duration::from_secs(30),
            stop_grace: Duration::from_mins(5),
            pod_resources: PodResources::V1_34,
            faults: Vec::new(),
        }
    }

    /// Sets the seed of every random order: device IDs in a request, resources of a pod.
    ///
    /// The transcript begins with the seed, so that a failed run can be repeated.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Says what happens to sockets that are in the directory at the first start.
    #[must_use]
    pub fn sockets(self, sockets: Restart) -> Self {
        Self { sockets, ..self }
    }

    /// Lets this much time pass at the first start between the removal of old sockets and the
    /// moment when `kubelet.sock` appears. Default: none.
    #[must_use]
    pub fn late_socket(self, late_socket: Duration) -> Self {
        Self {
            late_socket,
            ..self
        }
    }

    /// Says what the end of an old stream does after a second registration. Default:
    /// [`RaceUntil136`](Reregistration::RaceUntil136), which every released kubelet up to 1.36
    /// has.
    #[must_use]
    pub fn reregistration(self, reregistration: Reregistration) -> Self {
        Self {
            reregistration,
            ..self
        }
    }

    /// Sets how long the kubelet tries to reach the plugin's socket inside `Register`.
    /// Default: 10 s, as in the real one.
    #[must_use]
    pub fn dial_timeout(self, dial_timeout: Duration) -> Self {
        Self {
            dial_timeout,
            ..self
        }
    }

    /// Sets how long the kubelet waits for `PreStartContainer`. Default: 30 s.
    #[must_use]
    pub fn pre_start_timeout(self, pre_start_timeout: Duration) -> Self {
        Self {
            pre_start_timeout,
            ..self
        }
    }

    /// Sets how long a resource without a plugin is remembered. Default: 5 min.
    #[must_use]
    pub fn stop_grace(self, stop_grace: Duration) -> Self {
        Self { stop_grace, ..self }
    }

    /// Says which kubelet answers on the pod resources socket. Default:
    /// [`V1_34`](PodResources::V1_34).
    #[must_use]
    pub fn pod_resources(self, pod_resources: PodResources) -> Self {
        Self {
            pod_resources,
            ..self
        }
    }

    /// Misbehaves the next time the step of `fault` is reached.
    ///
    /// Faults of one kind are used up in the order in which they were given.
    #[must_use]
    pub fn once(mut self, fault: Fault) -> Self {
        self.faults.push((fault, Times::Once));
        self
    }

    /// Misbehaves every time the step of `fault` is reached.
    #[must_use]
    pub fn always(mut self, fault: Fault) -> Self {
        self.faults.push((fault, Times::Always));
        self
    }
}

/// What a start does with the sockets in the device plugin directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// Removes every socket before `kubelet.sock` is there again, as the real kubelet does.
    /// Files and directories stay.
    WipeSockets,
    /// Leaves the sockets of plugins alone. Only an old `kubelet.sock` is replaced.
    KeepSockets,
}

/// What happens when a resource was registered twice and the first stream ends late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reregistration {
    /// Kubernetes since 1.37 (kubernetes/kubernetes#135437): clients are found by resource name and
    /// socket, so the end of a stream concerns its own client only. A second registration from a
    /// socket that is connected is rejected, and that socket is then lost until the kubelet restarts.
    Fixed,
    /// Kubernetes up to 1.36: clients are found by resource name, so the end of the old
    /// stream disconnects the new client and marks its devices unhealthy
    /// (kubernetes/kubernetes#127803). A plugin ends its old streams before it registers
    /// again, and registers once more if the kubelet hangs up.
    RaceUntil136,
}

/// How much of the pod resources API a kubelet has. Each version stands for those from it up
/// to the next one here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum PodResources {
    /// There is no socket, as where its directory is not mounted.
    Absent,
    /// `List` only: the other calls are unimplemented. One entry for the devices of a resource
    /// and NUMA node.
    V1_20,
    /// `GetAllocatableResources` as well. From here on one entry for each device and NUMA node.
    V1_23,
    /// 100 calls a second and 10 at once, more are refused as exhausted. `Get` exists, but is
    /// switched off: it fails as unknown.
    V1_27,
    /// `Get` works. `List` leaves out pods that have ended; before it shows them, without
    /// devices.
    V1_34,
}

/// One way in which the kubelet can misbehave.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Answers `Register` with an error of this text.
    RefuseRegister {
        /// The text of the gRPC status.
        message: String,
    },
    /// Waits this long before it looks at `Register` at all.
    DelayRegister(Duration),
    /// Accepts `Register`, but never dials the plugin. No stream is opened.
    NoDialBack,
    /// Waits this long between the dial and `GetDevicePluginOptions`.
    DelayOptions(Duration),
    /// Hangs up after this many device lists of one stream. With 0 it opens the stream and
    /// hangs up at once.
    DropStreamAfter {
        /// How many lists are taken first.
        lists: u64,
    },
    /// Notices that the plugin has ended its stream only when the next stream of the resource
    /// has brought its first list, as a busy kubelet may. Up to 1.36 the plugin then loses its
    /// new registration: see [`RaceUntil136`](Reregistration::RaceUntil136).
    LateStreamEnd,
    /// Takes a call of the pod resources API and never answers it.
    HangPodResources,
    /// Answers a call of the pod resources API with an error of this text.
    RefusePodResources {
        /// The text of the gRPC status.
        message: String,
    },
}

impl Fault {
    /// Makes a [`RefuseRegister`](Self::RefuseRegister) with this text.
    pub fn refuse(message: impl Into<String>) -> Self {
        Self::RefuseRegister {
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RefuseRegister { message } => write!(f, "refuses Register: {message}"),
            Self::DelayRegister(delay) => write!(f, "sits on Register for {delay:?}"),
            Self::NoDialBack => f.write_str("does not dial the plugin"),
            Self::DelayOptions(delay) => {
                write!(f, "waits {delay:?} before GetDevicePluginOptions")
            }
            Self::DropStreamAfter { lists } => write!(f, "hangs up after {lists} lists"),
            Self::LateStreamEnd => f.write_str("notices the end of the stream late"),
            Self::HangPodResources => f.write_str("does not answer"),
            Self::RefusePodResources { message } => write!(f, "refuses to tell: {message}"),
        }
    }
}

/// How often a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Times {
    Once,
    Always,
}
