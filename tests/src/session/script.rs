//! The script: what the plugin does, step by step, as data.

use std::fmt;

mod scenarios;

pub(super) use self::scenarios::scenarios;

/// One story, on resources and sockets of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) steps: &'static [Step],
}

/// One thing that the plugin does or waits for. Sockets, resources and pods are named by words
/// that are unique in the whole script.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Serves the plugin's interface on a socket.
    Serve(Socket),
    /// Listens on a socket and never answers on it.
    Listen(Socket),
    /// Determines how the next call of this method is answered.
    Answer(Socket, Method, Answer),
    /// Registers with the version and the endpoint that a plugin normally sends.
    Register(Resource, Socket),
    /// Registers with the options `get_preferred_allocation_available` and `pre_start_required`.
    RegisterWith(Resource, Socket, bool, bool),
    /// Registers with a version and a resource name that are to be rejected.
    RegisterBad {
        version: &'static str,
        resource: &'static str,
        socket: Socket,
    },
    /// Waits for a call.
    Call(Socket, Method),
    /// Waits until the kubelet closes a connection.
    Closed(Socket, u64),
    /// Records what comes within a second.
    Quiet,
    /// Sends a device list on the latest stream of a socket.
    List(Socket, &'static [Device]),
    /// Sends a list of more than 4 MiB.
    HugeList(Socket),
    /// Ends a stream, counted from 1, with success or with an error.
    EndStream(Socket, usize, Option<&'static str>),
    /// Breaks all connections of a socket.
    Break(Socket),
    /// Removes the socket's file, and goes on serving those who are connected.
    Unlink(Socket),
    /// Waits until these devices of a resource are allocatable, each written `ID` or `ID@NODE`.
    Allocatable(Resource, &'static [&'static str]),
    /// Runs a pod of one container until it runs or is rejected. The IDs in `named` are recorded
    /// by name, others are counted: which ones the kubelet takes is random.
    Pod {
        pod: &'static str,
        requests: &'static [(Resource, usize)],
        named: &'static [&'static str],
    },
    /// Waits until a container that was not started runs.
    Started(&'static str),
    /// Records who has what: by the pod-resources API and the checkpoint.
    Allocated(&'static str),
    /// Deletes a pod and waits until it is gone.
    Delete(&'static str),
    /// Calls the pod-resources API 40 times at once.
    Burst,
    /// Records the headers of all calls to a socket.
    Headers(Socket),
    /// Records the modes of the kubelet's files.
    Modes,
    /// Restarts the kubelet. A file and a socket in a directory lie beside the plugins' sockets.
    Restart,
}

/// The name of a plugin's socket.
pub(super) type Socket = &'static str;
/// The name of an extended resource.
pub(super) type Resource = &'static str;
/// ID, health, NUMA node.
pub(super) type Device = (&'static str, &'static str, Option<i64>);

/// A method of `DevicePlugin`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Method {
    GetDevicePluginOptions,
    ListAndWatch,
    GetPreferredAllocation,
    Allocate,
    PreStartContainer,
}

/// How a call is answered. Without one: with success.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// `get_preferred_allocation_available` and `pre_start_required`.
    Options(bool, bool),
    /// An error with the code `FailedPrecondition` and this text.
    Error(&'static str),
    /// The same error to this call and all that follow.
    Errors(&'static str),
    /// The usual answer, also after [`Errors`](Self::Errors).
    Usual,
    /// The usual answer, 3 s later.
    Slow,
    /// The usual answer, after the devices left the list.
    Prefer(&'static [&'static str]),
    /// No container response.
    Empty,
    /// Two container responses, of which the first says so in a variable.
    Two,
    /// More than 4 MiB.
    Huge,
    /// No answer: all connections of the socket break.
    Break,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serve(socket) => write!(f, "serve {socket}"),
            Self::Listen(socket) => write!(f, "listen on {socket} without serving"),
            Self::Answer(socket, method, answer) => {
                write!(f, "prepare {socket} to answer {method:?} with {answer:?}")
            }
            Self::Register(resource, socket) => write!(f, "register {resource} at {socket}"),
            Self::RegisterWith(resource, socket, preferred, pre_start) => write!(
                f,
                "register {resource} at {socket} with the options {preferred} {pre_start}"
            ),
            Self::RegisterBad {
                version, resource, ..
            } => write!(f, "register {resource:?} with the version {version:?}"),
            Self::Call(socket, method) => write!(f, "wait for {method:?} at {socket}"),
            Self::Closed(socket, connection) => {
                write!(f, "wait for the end of connection {connection} to {socket}")
            }
            Self::Quiet => f.write_str("wait a second"),
            Self::List(socket, devices) => {
                write!(f, "list on {socket}:")?;
                devices.iter().try_for_each(|(id, health, node)| {
                    write!(f, " {id}={health}")?;
                    node.map_or(Ok(()), |node| write!(f, "@{node}"))
                })
            }
            Self::HugeList(socket) => write!(f, "list more than 4 MiB on {socket}"),
            Self::EndStream(socket, stream, None) => write!(f, "end stream {stream} of {socket}"),
            Self::EndStream(socket, stream, Some(error)) => {
                write!(
                    f,
                    "end stream {stream} of {socket} with the error {error:?}"
                )
            }
            Self::Break(socket) => write!(f, "break the connections to {socket}"),
            Self::Unlink(socket) => write!(f, "remove the file {socket}"),
            Self::Allocatable(resource, _) => write!(f, "allocatable of {resource}"),
            Self::Pod { pod, requests, .. } => {
                write!(f, "create pod {pod} with")?;
                requests
                    .iter()
                    .try_for_each(|(resource, count)| write!(f, " {count} {resource}"))
            }
            Self::Started(pod) => write!(f, "wait for the container of {pod}"),
            Self::Allocated(pod) => write!(f, "allocated to {pod}"),
            Self::Delete(pod) => write!(f, "delete pod {pod}"),
            Self::Burst => f.write_str("call the pod-resources API 40 times at once"),
            Self::Headers(socket) => write!(f, "headers of the calls to {socket}"),
            Self::Modes => f.write_str("modes of the files"),
            Self::Restart => f.write_str("restart the kubelet"),
        }
    }
}
