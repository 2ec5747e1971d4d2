//! Why a request of the kubelet is refused.

use crate::device::DeviceId;
use std::{error::Error, time::Duration};

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
    #[error("device `{id}` is unhealthy{}", why.as_ref().map_or_else(String::new, |why| format!(": {why}")))]
    Unhealthy {
        /// The ID of the device.
        id: DeviceId,
        /// What the plugin says is wrong with it: [`DevicePlugin::why_unhealthy`](crate::DevicePlugin::why_unhealthy).
        why: Option<String>,
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

    /// Returns a refusal in the words of an error and of what caused it. Takes what `?` takes: an
    /// error, a text, or an `anyhow::Error`.
    ///
    /// ```
    /// # use device_plugin::{AllocateError, DeviceId};
    /// let refused = "no id".parse::<DeviceId>().map_err(AllocateError::because);
    /// assert!(refused.unwrap_err().to_string().contains("`no id`"));
    /// ```
    pub fn because(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::refused(chain(error.into().as_ref()))
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn an_error_is_told_with_its_causes() {
        let error = Outer(io::Error::other("inner"));
        let refused = AllocateError::because(error);
        assert_eq!(refused, AllocateError::refused("outer: inner"));
    }
}
