//! The announcement of a resource.

use super::convert::options;
use crate::{kubelet_dir::KubeletDir, plugin::PluginOptions, resource_name::ResourceName};
use kubelet_api::deviceplugin::v1beta1::{self as api, registration_client::RegistrationClient};
use std::{error::Error, path::Path};
use tonic::transport::Endpoint;

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

impl RegisterError {
    /// Takes the innermost source, which is the one that says something: tonic's own texts are
    /// "transport error" and the like.
    pub(crate) fn unreachable(error: &(dyn Error + 'static)) -> Self {
        let mut innermost = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        let reason = innermost.to_string();
        Self::Unreachable { reason }
    }
}

/// Announces a resource to the kubelet, which dials its socket before it answers.
pub(crate) async fn register(
    dir: &KubeletDir,
    resource: &ResourceName,
    wanted: PluginOptions,
) -> Result<(), RegisterError> {
    let channel = endpoint(&dir.kubelet_socket())?
        .connect()
        .await
        .map_err(|error| RegisterError::unreachable(&error))?;
    let request = api::RegisterRequest {
        version: api::VERSION.to_owned(),
        endpoint: resource.socket_name(),
        resource_name: resource.to_string(),
        options: Some(options(wanted)),
    };
    match RegistrationClient::new(channel).register(request).await {
        Ok(_) => Ok(()),
        // What the peer said has no source. What our own side ran into has one.
        Err(status) if status.source().is_some() => Err(RegisterError::unreachable(&status)),
        Err(status) => Err(RegisterError::Refused {
            message: match status.message() {
                "" => status.code().description().to_owned(),
                message => message.to_owned(),
            },
        }),
    }
}

fn endpoint(socket: &Path) -> Result<Endpoint, RegisterError> {
    let path = socket.to_str().ok_or_else(|| RegisterError::Unreachable {
        reason: "the path of its socket is not UTF-8".to_owned(),
    })?;
    Endpoint::from_shared(format!("unix://{path}"))
        .map_err(|error| RegisterError::unreachable(&error))
}
