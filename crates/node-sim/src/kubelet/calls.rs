//! The calls to a plugin on behalf of a pod.

use std::{future::pending, sync::atomic::Ordering};

use kubelet_api::deviceplugin::v1beta1::{
    AllocateRequest, ContainerAllocateRequest, ContainerAllocateResponse,
    ContainerPreferredAllocationRequest, PreferredAllocationRequest,
};
use tokio::select;
use tonic::Status;

use super::{
    check,
    merge::ContainerAnswer,
    pod::{AdmissionError, in_go},
    resource::Client,
    shared::Shared,
    transcript::EventKind,
    view::PluginOptions,
};

/// Calls `GetPreferredAllocation`, if the plugin wants it. The answer is a hint.
pub(super) async fn prefer(
    shared: &Shared,
    resource: &str,
    available: &[String],
    must_include: &[String],
    count: usize,
) -> Result<Vec<String>, AdmissionError> {
    let (client, options) = client(shared, resource)?;
    if !options.preferred_allocation {
        return Ok(Vec::new());
    }
    let mut api = client.api.clone();
    let call = api.get_preferred_allocation(PreferredAllocationRequest {
        container_requests: vec![ContainerPreferredAllocationRequest {
            available_device_i_ds: available.to_vec(),
            must_include_device_i_ds: must_include.to_vec(),
            allocation_size: i32::try_from(count).unwrap_or(i32::MAX),
        }],
    });
    let response = until_closed(&client, call).await.map_err(|status| {
        let (code, message) = in_go(&status);
        let resource = resource.to_owned();
        AdmissionError::Preferred {
            resource,
            code,
            message,
        }
    })?;
    let containers = response.into_inner().container_responses.into_iter();
    let answer = containers.map(|c| c.device_i_ds).next().unwrap_or_default();
    shared.with(|state| {
        for text in flaws(&answer, available, must_include, count) {
            state.warn(resource, format!("GetPreferredAllocation: {text}"));
        }
        state.record(EventKind::Preferred {
            resource: resource.to_owned(),
            available: available.to_vec(),
            must_include: must_include.to_vec(),
            size: count,
            answer: answer.clone(),
        });
        // The kubelet keeps it as a set.
        let mut answer = answer;
        state.random.shuffle(&mut answer);
        Ok(answer)
    })
}

/// Calls `Allocate` for one container.
pub(super) async fn allocate(
    shared: &Shared,
    pod: &str,
    resource: &str,
    ids: &[String],
) -> Result<ContainerAllocateResponse, AdmissionError> {
    let (client, _) = client(shared, resource)?;
    let mut api = client.api.clone();
    let call = api.allocate(AllocateRequest {
        container_requests: vec![ContainerAllocateRequest {
            devices_ids: ids.to_vec(),
        }],
    });
    let response = until_closed(&client, call).await.map_err(|status| {
        let (code, message) = in_go(&status);
        let resource = resource.to_owned();
        AdmissionError::Allocate {
            resource,
            code,
            message,
        }
    })?;
    let mut answers = response.into_inner().container_responses.into_iter();
    let first = answers.next();
    let more = answers.len();
    shared.with(|state| {
        if more > 0 {
            state.warn(
                resource,
                format!("Allocate: {more} container responses too many"),
            );
        }
        let listed = state.resources.get(resource);
        let is_gone = |id: &&String| listed.is_none_or(|r| !r.devices.contains_key(*id));
        let gone: Vec<_> = ids.iter().filter(is_gone).collect();
        for id in gone {
            let text = format!(
                "`{id}` left the list during Allocate; the kubelet would have crashed here"
            );
            state.warn(resource, text);
        }
        let Some(first) = first else {
            let resource = resource.to_owned();
            return Err(AdmissionError::EmptyAnswer { resource });
        };
        state.record(EventKind::Allocated {
            pod: pod.to_owned(),
            resource: resource.to_owned(),
            ids: ids.to_vec(),
        });
        for text in check::flaws(&ContainerAnswer::from(first.clone())) {
            state.warn(resource, format!("Allocate: {text}"));
        }
        Ok(first)
    })
}

/// What is wrong with a preferred allocation. The kubelet makes do with all of it.
fn flaws(
    answer: &[String],
    available: &[String],
    must_include: &[String],
    count: usize,
) -> Vec<String> {
    let mut flaws = Vec::new();
    if answer.len() != count {
        flaws.push(format!("{} devices instead of {count}", answer.len()));
    }
    let strangers = answer.iter().filter(|id| !available.contains(id));
    flaws.extend(strangers.map(|id| format!("`{id}` is not available")));
    let missing = must_include.iter().filter(|id| !answer.contains(id));
    flaws.extend(missing.map(|id| format!("`{id}` must be included")));
    flaws
}

/// The way to a plugin that is there.
fn client(shared: &Shared, name: &str) -> Result<(Client, PluginOptions), AdmissionError> {
    shared.look(|state| {
        let resource = name.to_owned();
        let Some(known) = state.resources.get(name) else {
            return Err(AdmissionError::Unregistered { resource });
        };
        match (known.client(), &known.endpoint) {
            (Some(client), Some(endpoint)) => Ok((client, endpoint.options)),
            _ => Err(AdmissionError::Stopped { resource }),
        }
    })
}

/// Waits for an answer for as long as the connection is not closed from this side. There is
/// no other limit, as in the real kubelet.
pub(super) async fn until_closed<T>(
    client: &Client,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let closed = async {
        client.token.cancelled().await;
        if client.broken.load(Ordering::Relaxed) {
            // The plugin was first: the call has its error.
            pending::<()>().await;
        }
    };
    select! {
        biased;
        () = closed => Err(Status::cancelled("grpc: the client connection is closing")),
        result = call => result,
    }
}
