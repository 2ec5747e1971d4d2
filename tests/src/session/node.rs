//! What the script needs of a node: its folders, pods and a restart.

use std::{fmt, path::Path};

use anyhow::Result;

/// A kubelet, real or simulated, and whatever makes pods for it.
pub(super) trait Node {
    /// The device plugin directory.
    fn device_plugins(&self) -> &Path;

    /// The socket of the pod-resources API.
    fn pod_resources(&self) -> &Path;

    /// What is appended to the names of resources, so that a kubelet has never seen them.
    fn suffix(&self) -> String;

    /// Creates a pod of one container and waits until it runs, or is known not to.
    async fn create(&mut self, pod: &str, requests: &[(String, usize)]) -> Result<Outcome>;

    /// Waits until the container of a pod that was admitted runs.
    async fn started(&mut self, pod: &str) -> Result<Outcome>;

    /// The name that the pod-resources API has for a pod, and the UID in the checkpoint.
    async fn identity(&mut self, pod: &str) -> Result<(String, String)>;

    /// Deletes a pod, and waits until the kubelet has forgotten it.
    async fn delete(&mut self, pod: &str) -> Result<()>;

    /// Stops the kubelet and starts it again. Returns when it listens.
    async fn restart(&mut self) -> Result<()>;
}

/// What has become of a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Running,
    /// The kubelet has rejected it, with the reason and the message of its status.
    Failed(String, String),
    /// It is admitted, and its container waits with a reason and a message.
    Waiting(String, String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("pod runs"),
            Self::Failed(reason, message) => write!(f, "pod failed, {reason}: {message}"),
            Self::Waiting(reason, message) => write!(f, "container waits, {reason}: {message}"),
        }
    }
}
