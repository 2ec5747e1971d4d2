//! Pods, as far as a device plugin can tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
};

use thiserror::Error;
use tonic::{Code, Status};

use super::{
    ledger::Record,
    merge::{Conflict, ContainerAnswer},
    start::StartError,
};

/// A pod of one container that asks for devices.
///
/// Can be made from a list of resources and counts. A resource that is named twice counts
/// twice.
///
/// ```
/// use node_sim::PodSpec;
///
/// let named = PodSpec::new("vm-a").request("example.com/nic", 2).numa_node(1);
/// let unnamed = PodSpec::from([("example.com/nic", 2)]);
/// # drop((named, unnamed));
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PodSpec {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) container: Option<String>,
    pub(super) requests: BTreeMap<String, usize>,
    pub(super) affinity: BTreeSet<i64>,
}

impl PodSpec {
    /// A pod with this name and no devices.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }

    /// Puts the pod into a namespace. Without it: `default`.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Names the container. Without it: `main`.
    #[must_use]
    pub fn container(mut self, container: impl Into<String>) -> Self {
        self.container = Some(container.into());
        self
    }

    /// Asks for `count` devices of `resource`.
    #[must_use]
    pub fn request(mut self, resource: impl Into<String>, count: usize) -> Self {
        *self.requests.entry(resource.into()).or_default() += count;
        self
    }

    /// Has the topology manager prefer this NUMA node. May be called for several nodes.
    ///
    /// Without it the kubelet has no preference, as with the topology manager policy `none`.
    #[must_use]
    pub fn numa_node(mut self, node: i64) -> Self {
        self.affinity.insert(node);
        self
    }
}

impl<'a> From<&[(&'a str, usize)]> for PodSpec {
    fn from(requests: &[(&'a str, usize)]) -> Self {
        requests
            .iter()
            .fold(Self::default(), |pod, &(resource, count)| {
                pod.request(resource, count)
            })
    }
}

impl<'a, const N: usize> From<&[(&'a str, usize); N]> for PodSpec {
    fn from(requests: &[(&'a str, usize); N]) -> Self {
        Self::from(&requests[..])
    }
}

impl<'a, const N: usize> From<[(&'a str, usize); N]> for PodSpec {
    fn from(requests: [(&'a str, usize); N]) -> Self {
        Self::from(&requests[..])
    }
}

/// A pod that was admitted. It keeps its devices until
/// [`Kubelet::delete`](crate::Kubelet::delete), whether its container runs or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pod {
    pub(super) number: u64,
    /// The UID, which the checkpoint knows the pod by. No two pods have the same.
    pub uid: String,
    /// The name from the [`PodSpec`], or `pod-N`.
    pub name: String,
    /// The namespace from the [`PodSpec`], or `default`.
    pub namespace: String,
    /// The name of its container from the [`PodSpec`], or `main`.
    pub container: String,
    /// The device IDs by resource, in the order in which the plugin was asked for them.
    pub devices: BTreeMap<String, Vec<String>>,
    /// What each plugin answered, by resource.
    pub answers: BTreeMap<String, ContainerAnswer>,
    /// What the container gets: all answers, merged.
    pub answer: ContainerAnswer,
    /// What was lost in the merge.
    pub conflicts: Vec<Conflict>,
    /// How the first start of the container went. Try a failed one again with
    /// [`Kubelet::restart_container`](crate::Kubelet::restart_container), as the real
    /// kubelet does by itself.
    pub started: Result<(), StartError>,
}

impl Pod {
    /// A pod that has nothing yet.
    pub(super) fn new(number: u64, record: &Record) -> Self {
        Self {
            number,
            uid: record.uid.clone(),
            name: record.name.clone(),
            namespace: record.namespace.clone(),
            container: record.container.clone(),
            devices: BTreeMap::new(),
            answers: BTreeMap::new(),
            answer: ContainerAnswer::default(),
            conflicts: Vec::new(),
            started: Ok(()),
        }
    }
}

/// Why a pod was not admitted.
///
/// The text is the message that the real kubelet writes to the status of the pod, with the reason
/// `UnexpectedAdmissionError`. Users read a plugin's errors there, so a test may check it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// No plugin has registered the resource, or its plugin stayed away for too long.
    #[error(
        "Pod was rejected: Allocate failed due to cannot allocate unregistered device {resource}, which is unexpected"
    )]
    Unregistered {
        /// The resource.
        resource: String,
    },
    /// The resource has no healthy device.
    #[error(
        "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices {resource}, which is unexpected"
    )]
    NoHealthyDevices {
        /// The resource.
        resource: String,
    },
    /// There are healthy devices, but too few of them are free.
    #[error(
        "Pod was rejected: Allocate failed due to requested number of devices unavailable for {resource}. Requested: {requested}, Available: {available}, which is unexpected"
    )]
    Unavailable {
        /// The resource.
        resource: String,
        /// How many devices the pod asks for.
        requested: usize,
        /// How many are healthy and free.
        available: usize,
    },
    /// The plugin answered `GetPreferredAllocation` with an error. It never should.
    #[error(
        "Pod was rejected: Allocate failed due to device plugin GetPreferredAllocation rpc failed with err: rpc error: code = {code} desc = {message}, which is unexpected"
    )]
    Preferred {
        /// The resource.
        resource: String,
        /// The gRPC code, as Go spells it.
        code: String,
        /// The text of the gRPC status.
        message: String,
    },
    /// The plugin answered `Allocate` with an error.
    #[error(
        "Pod was rejected: Allocate failed due to rpc error: code = {code} desc = {message}, which is unexpected"
    )]
    Allocate {
        /// The resource.
        resource: String,
        /// The gRPC code, as Go spells it.
        code: String,
        /// The text of the gRPC status.
        message: String,
    },
    /// The plugin answered `Allocate` without a container response.
    #[error(
        "Pod was rejected: Allocate failed due to no containers return in allocation response , which is unexpected"
    )]
    EmptyAnswer {
        /// The resource.
        resource: String,
    },
    /// The kubelet could not write its checkpoint, so it would forget the devices.
    #[error(
        "Pod was rejected: Allocate failed due to failed to write checkpoint file \"kubelet_internal_checkpoint\": {message}, which is unexpected"
    )]
    Checkpoint {
        /// What the file system says.
        message: String,
    },
    /// The plugin hung up and did not come back yet.
    #[error(
        "Pod was rejected: Allocate failed due to endpoint {resource} has been stopped, which is unexpected"
    )]
    Stopped {
        /// The resource.
        resource: String,
    },
}

/// Whether a call failed on the way: what a plugin answers has no source.
pub(super) fn is_of_transport(status: &Status) -> bool {
    status.source().is_some()
}

/// The code of `status` as Go prints it, and its text.
pub(super) fn in_go(status: &Status) -> (String, String) {
    if is_of_transport(status) {
        let text = "error reading from server: EOF";
        return ("Unavailable".to_owned(), text.to_owned());
    }
    let code = match status.code() {
        Code::Ok => "OK".to_owned(),
        Code::Cancelled => "Canceled".to_owned(),
        other => format!("{other:?}"),
    };
    (code, status.message().to_owned())
}
