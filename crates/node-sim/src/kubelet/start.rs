//! The start of a container whose pod has its devices.

use std::time::Duration;

use kubelet_api::deviceplugin::v1beta1::PreStartContainerRequest;
use thiserror::Error;
use tokio::time::timeout;
use tonic::{Request, Status};

use super::{
    calls::until_closed,
    pod::{Pod, in_go},
    resource::{Client, Endpoint},
    shared::Shared,
    transcript::EventKind,
};

/// How much later than the kubelet's the deadline in the request is.
const DEADLINE_MARGIN: Duration = Duration::from_secs(1);

/// Why a container did not start.
///
/// The pod stays admitted and keeps its devices. The real kubelet shows the text in the
/// container's status, as `CreateContainerConfigError`, and tries again.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The resource was forgotten: its plugin stayed away for too long.
    #[error("endpoint not found in cache for a registered resource: {resource}")]
    Unregistered {
        /// The resource.
        resource: String,
    },
    /// The plugin wants `PreStartContainer`, hung up, and did not come back yet.
    #[error(
        "device plugin PreStartContainer rpc failed with err: endpoint {resource} has been stopped"
    )]
    Stopped {
        /// The resource.
        resource: String,
    },
    /// The plugin answered `PreStartContainer` with an error, or too late.
    #[error(
        "device plugin PreStartContainer rpc failed with err: rpc error: code = {code} desc = {message}"
    )]
    PreStart {
        /// The resource.
        resource: String,
        /// The gRPC code, as Go spells it.
        code: String,
        /// The text of the gRPC status.
        message: String,
    },
}

/// Starts a container, or starts it again. `Allocate` is not repeated: its answer is in the
/// checkpoint. So a plugin without `PreStartContainer` need not be there.
pub(super) async fn container(shared: &Shared, pod: &Pod) -> Result<(), StartError> {
    let result = announce(shared, pod).await;
    if let Err(error) = &result {
        shared.with(|state| {
            state.record(EventKind::StartFailed {
                pod: pod.name.clone(),
                message: error.to_string(),
            });
        });
    }
    result
}

/// Calls `PreStartContainer` of every plugin that wants it.
async fn announce(shared: &Shared, pod: &Pod) -> Result<(), StartError> {
    for (resource, ids) in &pod.devices {
        let Some(client) = listener(shared, resource)? else {
            continue;
        };
        let mut ids = ids.clone();
        shared.look(|state| state.random.shuffle(&mut ids));
        let mut api = client.api.clone();
        let limit = shared.options.pre_start_timeout;
        let mut request = Request::new(PreStartContainerRequest {
            devices_ids: ids.clone(),
        });
        // The plugin sees a deadline. Ours comes first, so that the error is always the same.
        request.set_timeout(limit + DEADLINE_MARGIN);
        let call = api.pre_start_container(request);
        let outcome = timeout(limit, until_closed(&client, call)).await;
        let late = |_elapsed| Err(Status::deadline_exceeded("context deadline exceeded"));
        outcome.unwrap_or_else(late).map_err(|status| {
            let (code, message) = in_go(&status);
            let resource = resource.clone();
            StartError::PreStart {
                resource,
                code,
                message,
            }
        })?;
        shared.with(|state| {
            state.record(EventKind::PreStarted {
                pod: pod.name.clone(),
                resource: resource.clone(),
                ids,
            });
        });
    }
    Ok(())
}

/// The plugin of a resource, if it wants to hear of the start.
///
/// After a restart of the kubelet the wish is forgotten until the plugin registers again:
/// the checkpoint does not hold the options (`callPreStartContainerIfNeeded`).
fn listener(shared: &Shared, name: &str) -> Result<Option<Client>, StartError> {
    shared.with(|state| {
        state.expire();
        let resource = name.to_owned();
        let Some(known) = state.resources.get(name) else {
            return Err(StartError::Unregistered { resource });
        };
        match &known.endpoint {
            Some(Endpoint { options, .. }) if options.pre_start => known
                .client()
                .map(Some)
                .ok_or(StartError::Stopped { resource }),
            _ => Ok(None),
        }
    })
}
