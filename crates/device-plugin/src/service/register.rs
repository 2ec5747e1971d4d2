//! The announcement of a resource.

use super::convert::options;
use crate::{
    dial::{dial, innermost},
    kubelet_dir::KubeletDir,
    plugin::PluginOptions,
    resource_name::ResourceName,
};
use kubelet_api::deviceplugin::v1beta1::{self as api, registration_client::RegistrationClient};
use std::error::Error;

/// Why the kubelet does not take a resource.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    /// Nobody answers.
    #[error("the kubelet cannot be reached: {reason}")]
    Unreachable { reason: String },
    /// The kubelet has said no.
    #[error("the kubelet refuses the resource: {message}")]
    Refused { message: String },
    /// The kubelet has said nothing.
    #[error("the kubelet did not answer in time")]
    TimedOut,
}

/// Announces a resource to the kubelet, which dials its socket before it answers.
pub(crate) async fn register(
    dir: &KubeletDir,
    resource: &ResourceName,
    wanted: PluginOptions,
) -> Result<(), RegisterError> {
    let unreachable = |reason| RegisterError::Unreachable { reason };
    let channel = dial(&dir.kubelet_socket()).await.map_err(unreachable)?;
    let request = api::RegisterRequest {
        version: api::VERSION.to_owned(),
        endpoint: resource.socket_name(),
        resource_name: resource.to_string(),
        options: Some(options(wanted)),
    };
    match RegistrationClient::new(channel).register(request).await {
        Ok(_) => Ok(()),
        // What the peer said has no source. What our own side ran into has one.
        Err(status) if status.source().is_some() => Err(unreachable(innermost(&status))),
        Err(status) => Err(RegisterError::Refused {
            message: match status.message() {
                "" => status.code().description().to_owned(),
                message => message.to_owned(),
            },
        }),
    }
}
