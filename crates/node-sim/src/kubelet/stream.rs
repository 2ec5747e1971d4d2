//! `ListAndWatch`: one task per registration.

use std::sync::{Arc, atomic::Ordering};

use kubelet_api::deviceplugin::v1beta1::Empty;
use tokio::select;
use tonic::Status;

use super::{
    options::Fault, pod::is_of_transport, resource::Client, shared::Shared, state::State,
    transcript::StreamEnd,
};

/// Follows the lists of a plugin until somebody hangs up.
pub(super) async fn run(shared: Arc<Shared>, resource: String, stream: u64, client: Client) {
    let token = client.token.clone();
    let end = select! {
        biased;
        () = token.cancelled() => StreamEnd::Kubelet,
        end = until_noticed(&shared, &resource, stream, client) => end,
    };
    shared.with(|state| state.stream_ended(&resource, stream, end));
}

/// Follows the lists, and may be late to notice their end.
async fn until_noticed(shared: &Shared, resource: &str, stream: u64, client: Client) -> StreamEnd {
    let end = follow(shared, resource, stream, client).await;
    let late = |fault: &Fault| (*fault == Fault::LateStreamEnd).then_some(());
    let mut bell = shared.bell();
    if end != StreamEnd::Kubelet && shared.with(|state| state.fault(resource, late)).is_some() {
        let lists = |state: &mut State| state.lists_received(resource);
        let before = shared.look(lists);
        while shared.look(lists) == before && bell.changed().await.is_ok() {}
    }
    end
}

async fn follow(shared: &Shared, resource: &str, stream: u64, client: Client) -> StreamEnd {
    let mut api = client.api.clone();
    let failed = |status: Status| {
        client
            .broken
            .store(is_of_transport(&status), Ordering::Relaxed);
        StreamEnd::Failed(format!("{:?}: {}", status.code(), status.message()))
    };
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
