//! The announcement of a resource.

use super::convert::options;
use crate::{
    dial::{dial, innermost},
    kubelet_dir::KubeletDir,
    plugin::PluginOptions,
    resource_name::ResourceName,
};
use kubelet_api::deviceplugin::v1beta1::{self as api, registration_client::RegistrationClient};
use std::{error::Error, path::Path};

/// How the kubelet begins to reject a socket that it has a connection to.
const ALREADY_CONNECTED: &str = "device plugin already connected";

/// Why the kubelet does not take a resource.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    /// Nobody answers.
    #[error("the kubelet cannot be reached: {reason}")]
    Unreachable { reason: String },
    /// The kubelet has said no.
    #[error("the kubelet refuses the resource: {message}")]
    Refused { message: String },
    /// The kubelet has a connection to this socket, or has missed its end.
    #[error("the kubelet takes the socket for connected already")]
    AlreadyConnected,
    /// The kubelet has said nothing.
    #[error("the kubelet did not answer in time")]
    TimedOut,
}

/// Announces a resource to the kubelet, which dials its socket before it answers.
pub(crate) async fn register(
    dir: &KubeletDir,
    socket: &Path,
    resource: &ResourceName,
    wanted: PluginOptions,
) -> Result<(), RegisterError> {
    let unreachable = |reason| RegisterError::Unreachable { reason };
    let channel = dial(&dir.kubelet_socket()).await.map_err(unreachable)?;
    let request = api::RegisterRequest {
        version: api::VERSION.to_owned(),
        endpoint: socket
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        resource_name: resource.to_string(),
        options: Some(options(wanted)),
    };
    match RegistrationClient::new(channel).register(request).await {
        Ok(_) => Ok(()),
        // What the peer said has no source. What our own side ran into has one.
        Err(status) if status.source().is_some() => Err(unreachable(innermost(&status))),
        // PluginConnected in the kubelet's pkg/kubelet/cm/devicemanager/manager.go, since 1.37.
        Err(status) if status.message().starts_with(ALREADY_CONNECTED) => {
            Err(RegisterError::AlreadyConnected)
        }
        Err(status) => Err(RegisterError::Refused {
            message: match status.message() {
                "" => status.code().description().to_owned(),
                message => message.to_owned(),
            },
        }),
    }
}
