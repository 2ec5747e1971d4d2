//! How a resource stands with the kubelet.

use serde::Serialize;
use std::{
    fmt::{self, Display, Formatter},
    path::PathBuf,
};

/// How a resource stands with the kubelet.
///
/// The usual way is down this list to [`Streaming`](Self::Streaming). From anywhere, a kubelet
/// that restarts leads back to [`WaitingForKubelet`](Self::WaitingForKubelet) or
/// [`Registering`](Self::Registering), by way of [`Draining`](Self::Draining).
///
/// The text of a state is a sentence for a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub enum State {
    /// There is no device yet, so that there is nothing to offer.
    WaitingForDevices,
    /// There is no kubelet: no socket of its, or nobody who answers there.
    WaitingForKubelet,
    /// Another process serves on the path of our socket. It is left alone, and asked for again
    /// later.
    SocketInUse {
        /// The path of the socket.
        path: PathBuf,
    },
    /// Our socket cannot be made. Tried again later.
    SocketFailed {
        /// Why, for a person.
        message: String,
    },
    /// The kubelet is being asked to take the resource.
    Registering,
    /// The kubelet does not take the resource. Tried again later.
    Refused {
        /// What the kubelet said.
        message: String,
    },
    /// The kubelet has taken the resource, but does not listen to the list of devices yet.
    Registered,
    /// The kubelet listens to the list of devices. All is well.
    Streaming,
    /// The kubelet has taken the resource, and then not listened to the list of devices for ten
    /// seconds. Tried again until it does, and not reported as anything better in the meantime.
    ///
    /// Mostly this is a kubelet older than Kubernetes 1.26. It names the path of the socket as the
    /// `:authority` of each call, which HTTP/2 in Rust takes for an error of the protocol: it cannot
    /// talk to this plugin.
    NotHeard,
    /// The streams and connections of a session end, before the next one or for good. Old ones must
    /// not outlive a new registration.
    Draining,
    /// The resource is no longer offered.
    Stopped,
}

impl State {
    /// Whether pods can be given devices of the resource: the kubelet listens.
    pub fn is_serving(&self) -> bool {
        *self == Self::Streaming
    }

    /// A stable short code, for metrics and programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::WaitingForDevices => "waiting-for-devices",
            Self::WaitingForKubelet => "waiting-for-kubelet",
            Self::SocketInUse { .. } => "socket-in-use",
            Self::SocketFailed { .. } => "socket-failed",
            Self::Registering => "registering",
            Self::Refused { .. } => "refused",
            Self::Registered => "registered",
            Self::Streaming => "streaming",
            Self::NotHeard => "not-heard",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }

    /// Whether this state is a step on the way to a kubelet that listens, and no more than that.
    pub(crate) fn is_a_step(&self) -> bool {
        matches!(self, Self::Registering | Self::Registered | Self::Draining)
    }
}

impl Display for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitingForDevices => f.write_str("there is no device yet"),
            Self::WaitingForKubelet => f.write_str("there is no kubelet"),
            Self::SocketInUse { path } => write!(
                f,
                "another process serves on `{}`; only one plugin may serve a resource",
                path.display()
            ),
            Self::SocketFailed { message } => f.write_str(message),
            Self::Registering => f.write_str("the kubelet is asked to take the resource"),
            Self::Refused { message } => write!(f, "the kubelet refuses the resource: {message}"),
            Self::Registered => f.write_str("the kubelet has taken the resource"),
            Self::Streaming => f.write_str("the kubelet listens"),
            Self::NotHeard => f.write_str(
                "the kubelet has taken the resource and does not listen to it; a kubelet older than \
                 1.26 cannot talk to this plugin",
            ),
            Self::Draining => f.write_str("streams and connections end"),
            Self::Stopped => f.write_str("the resource is no longer offered"),
        }
    }
}
