//! Why a request of the kubelet is refused.

use crate::device::DeviceId;
use std::time::Duration;

/// Why devices are not given to a container.
///
/// The kubelet fails the pod for any of these, with reason `UnexpectedAdmissionError`, and
/// shows the text to the user (`kubectl describe pod`). Write a
/// [`Refused`](Self::Refused) for that person: what is wrong, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// The plugin refuses, in its own words.
    #[error("{reason}")]
    Refused {
        /// A sentence for a person.
        reason: String,
    },
    /// The kubelet asked for no device at all.
    #[error("the request names no device")]
    Empty,
    /// There is no such device.
    #[error("there is no device `{id}`")]
    Unknown {
        /// The ID of the device.
        id: DeviceId,
    },
    /// The request holds something that cannot be the ID of a device.
    #[error("`{}` is not the ID of a device", text.escape_debug())]
    Malformed {
        /// What the kubelet sent.
        text: String,
    },
    /// The device exists, but may not be given to a container now.
    #[error("device `{id}` is unhealthy")]
    Unhealthy {
        /// The ID of the device.
        id: DeviceId,
    },
    /// The request names a device twice.
    #[error("the request names device `{id}` twice")]
    Duplicate {
        /// The ID of the device.
        id: DeviceId,
    },
    /// The plugin took too long. The kubelet itself would wait for ever, and admit no other
    /// pod to the node in the meantime.
    #[error("the device plugin did not answer within {} s", limit.as_secs())]
    TimedOut {
        /// How long it had.
        limit: Duration,
    },
}

impl AllocateError {
    /// Returns a refusal in the plugin's own words.
    pub fn refused(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Refused { reason }
    }
}
