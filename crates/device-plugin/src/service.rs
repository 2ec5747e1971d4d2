//! The kubelet's interface: the only module that knows the generated types.

mod convert;
mod register;

pub(crate) use register::{RegisterError, register};

use crate::{
    activity::Activity,
    check::{Demand, check},
    connections::{Busy, Caller},
    device::DeviceId,
    device_set::DeviceSet,
    error::AllocateError,
    list::Lists,
    observer::{Call, Observer},
    plugin::DevicePlugin,
    prefer::{PreferRequest, first_in_order, sanitise},
    resource_name::ResourceName,
};
use convert::{container_response, list, options, sorted, status};
use kubelet_api::deviceplugin::v1beta1::{self as api, device_plugin_server as server};
use std::{collections::BTreeSet, pin::Pin, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::{Instrument as _, debug_span};

/// How long a plugin has for [`DevicePlugin::allocate`]. The kubelet has no limit of its own,
/// and admits no other pod to the node while it waits.
pub const ALLOCATE_LIMIT: Duration = Duration::from_secs(10);

/// How long a plugin has for [`DevicePlugin::pre_start`]. The kubelet waits 30 seconds.
pub const PRE_START_LIMIT: Duration = Duration::from_secs(25);

/// How long a plugin has for [`DevicePlugin::prefer`], before the framework chooses itself.
const PREFER_LIMIT: Duration = Duration::from_secs(2);

/// The largest message, in bytes. The kubelet takes no larger one: gRPC's default. That is enough for
/// a list of some 100,000 devices.
const MAX_MESSAGE: usize = 4 << 20;

/// Answers the kubelet for one resource.
pub(crate) struct Service {
    pub(crate) resource: ResourceName,
    pub(crate) plugin: Arc<dyn DevicePlugin>,
    pub(crate) observer: Arc<dyn Observer>,
}

/// Answers the kubelet during one session.
pub(crate) struct InSession {
    service: Service,
    activity: Activity,
    /// Ends the streams.
    session_end: CancellationToken,
}

impl Service {
    /// Makes of this what tonic serves during one session.
    pub(crate) fn into_server(
        self,
        activity: Activity,
        session_end: CancellationToken,
    ) -> server::DevicePluginServer<InSession> {
        let session = InSession {
            service: self,
            activity,
            session_end,
        };
        server::DevicePluginServer::new(session)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// Tells the observer of an answer, and the log of a refusal.
    fn answered(&self, call: Call, begun: Instant, error: Option<&AllocateError>) {
        let (resource, took) = (&self.resource, begun.elapsed());
        self.observer.call_answered(resource, call, took, error);
        match (call, error) {
            (_, None) => {}
            (Call::PreStart, Some(error)) => {
                tracing::warn!(%resource, %error, "a container may not start");
            }
            (_, Some(error)) => tracing::warn!(%resource, %error, "an allocation is refused"),
        }
    }

    fn devices(&self) -> Arc<DeviceSet> {
        Arc::clone(&self.plugin.devices().borrow())
    }

    /// Checks the requests of all containers before the first is answered.
    fn checked(
        &self,
        requests: impl Iterator<Item = Vec<String>>,
        demand: Demand,
    ) -> Result<Vec<Vec<DeviceId>>, AllocateError> {
        let devices = self.devices();
        let mut taken = BTreeSet::new();
        let checked = requests.map(|ids| check(ids, &devices, demand, &mut taken));
        checked
            .collect::<Result<_, _>>()
            .map_err(|error| match error {
                AllocateError::Unhealthy { id, .. } => {
                    let why = self.plugin.why_unhealthy(&id);
                    AllocateError::Unhealthy { id, why }
                }
                error => error,
            })
    }

    async fn allocate_all(
        &self,
        request: api::AllocateRequest,
    ) -> Result<api::AllocateResponse, AllocateError> {
        let requests = request.container_requests.into_iter();
        let requests =
            self.checked(requests.map(|request| request.devices_ids), Demand::Healthy)?;
        let mut container_responses = Vec::with_capacity(requests.len());
        for ids in requests {
            let edits = within(ALLOCATE_LIMIT, self.plugin.allocate(&ids)).await?;
            container_responses.push(container_response(edits));
        }
        Ok(api::AllocateResponse {
            container_responses,
        })
    }

    async fn pre_start(&self, request: api::PreStartContainerRequest) -> Result<(), AllocateError> {
        let ids = [request.devices_ids].into_iter();
        let ids = self.checked(ids, Demand::Known)?.concat();
        within(PRE_START_LIMIT, self.plugin.pre_start(&ids)).await
    }

    async fn prefer(&self, request: api::ContainerPreferredAllocationRequest) -> Vec<DeviceId> {
        let request = PreferRequest {
            available: sorted(&request.available_device_i_ds),
            must_include: sorted(&request.must_include_device_i_ds),
            size: usize::try_from(request.allocation_size).unwrap_or_default(),
        };
        let Ok(choice) = timeout(PREFER_LIMIT, self.plugin.prefer(&request)).await else {
            tracing::warn!(resource = %self.resource, "no preference within {PREFER_LIMIT:?}");
            return first_in_order(&request);
        };
        sanitise(&request, choice)
    }
}

#[tonic::async_trait]
impl server::DevicePlugin for InSession {
    async fn get_device_plugin_options(
        &self,
        request: Request<api::Empty>,
    ) -> Result<Response<api::DevicePluginOptions>, Status> {
        let _busy = busy(&request);
        Ok(Response::new(options(self.service.plugin.options())))
    }

    type ListAndWatchStream =
        Pin<Box<dyn Stream<Item = Result<api::ListAndWatchResponse, Status>> + Send>>;

    async fn list_and_watch(
        &self,
        request: Request<api::Empty>,
    ) -> Result<Response<Self::ListAndWatchStream>, Status> {
        let Service {
            resource,
            plugin,
            observer,
        } = &self.service;
        let (resource, observer) = (resource.clone(), Arc::clone(observer));
        let end = self.session_end.clone();
        let ongoing = self.activity.stream(busy(&request));
        let lists = Lists::new(plugin.devices(), end, ongoing);
        Ok(Response::new(Box::pin(lists.map(move |set| {
            tracing::debug!(%resource, devices = set.len(), "the kubelet gets a new list");
            observer.list_sent(&resource, &set);
            Ok(list(&set))
        }))))
    }

    async fn get_preferred_allocation(
        &self,
        request: Request<api::PreferredAllocationRequest>,
    ) -> Result<Response<api::PreferredAllocationResponse>, Status> {
        let (_call, begun) = (self.activity.call(busy(&request)), Instant::now());
        let mut container_responses = Vec::new();
        for request in request.into_inner().container_requests {
            let chosen = self.service.prefer(request).await;
            container_responses.push(api::ContainerPreferredAllocationResponse {
                device_i_ds: chosen.into_iter().map(String::from).collect(),
            });
        }
        self.service.answered(Call::Prefer, begun, None);
        Ok(Response::new(api::PreferredAllocationResponse {
            container_responses,
        }))
    }

    async fn allocate(
        &self,
        request: Request<api::AllocateRequest>,
    ) -> Result<Response<api::AllocateResponse>, Status> {
        let (_call, begun) = (self.activity.call(busy(&request)), Instant::now());
        let resource = &self.service.resource;
        let answer = self
            .service
            .allocate_all(request.into_inner())
            .instrument(debug_span!("allocate", %resource))
            .await;
        self.service
            .answered(Call::Allocate, begun, answer.as_ref().err());
        answer.map(Response::new).map_err(|error| status(&error))
    }

    async fn pre_start_container(
        &self,
        request: Request<api::PreStartContainerRequest>,
    ) -> Result<Response<api::PreStartContainerResponse>, Status> {
        let (_call, begun) = (self.activity.call(busy(&request)), Instant::now());
        let resource = &self.service.resource;
        let answer = self
            .service
            .pre_start(request.into_inner())
            .instrument(debug_span!("pre_start", %resource))
            .await;
        self.service
            .answered(Call::PreStart, begun, answer.as_ref().err());
        answer
            .map(|()| Response::new(api::PreStartContainerResponse {}))
            .map_err(|error| status(&error))
    }
}

/// Notes on its connection that a call goes on.
fn busy<T>(request: &Request<T>) -> Option<Busy> {
    request.extensions().get::<Caller>().map(Caller::call)
}

/// Bounds a call of the plugin.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, AllocateError>>,
) -> Result<T, AllocateError> {
    let Ok(result) = timeout(limit, call).await else {
        return Err(AllocateError::TimedOut { limit });
    };
    result
}
