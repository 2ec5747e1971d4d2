//! `ListAndWatch`: one task per registration.

use std::sync::Arc;

use kubelet_api::deviceplugin::v1beta1::Empty;
use tokio::select;
use tonic::Status;

use super::{options::Fault, resource::Client, shared::Shared, transcript::StreamEnd};

/// Follows the lists of a plugin until somebody hangs up.
pub(super) async fn run(shared: Arc<Shared>, resource: String, stream: u64, client: Client) {
    let token = client.token.clone();
    let end = select! {
        biased;
        () = token.cancelled() => StreamEnd::Kubelet,
        end = follow(&shared, &resource, stream, client) => end,
    };
    shared.with(|state| state.stream_ended(&resource, stream, end));
}

async fn follow(shared: &Shared, resource: &str, stream: u64, client: Client) -> StreamEnd {
    let mut api = client.api;
    let failed =
        |status: Status| StreamEnd::Failed(format!("{:?}: {}", status.code(), status.message()));
    let mut lists = match api.list_and_watch(Empty {}).await {
        Ok(response) => response.into_inner(),
        Err(status) => return failed(status),
    };
    let limit = shared.with(|state| {
        state.stream_opened(resource, stream);
        state.fault(resource, |fault| match fault {
            Fault::DropStreamAfter { lists } => Some(*lists),
            _ => None,
        })
    });
    let mut taken = 0;
    while limit != Some(taken) {
        match lists.message().await {
            Ok(Some(list)) => {
                taken += 1;
                shared.with(|state| state.list(resource, stream, taken == 1, list.devices));
            }
            Ok(None) => return StreamEnd::Plugin,
            Err(status) => return failed(status),
        }
    }
    StreamEnd::Kubelet
}
