//! `Register`: the one call that a plugin makes.

use std::{future::pending, sync::Arc, time::Duration};

use kubelet_api::deviceplugin::v1beta1::{
    DevicePluginOptions, Empty, RegisterRequest, VERSION, registration_server::Registration,
};
use tokio::{select, time::sleep};
use tonic::{Request, Response, Status};

use super::{
    dial::{Api, dial},
    name::is_extended_resource,
    options::Fault,
    pod::in_go,
    resource::{Client, Endpoint},
    shared::{Shared, Tasks},
    stream,
    transcript::EventKind,
    view::PluginOptions,
};

/// The service on `kubelet.sock`.
#[derive(Debug)]
pub(super) struct Registrar {
    pub(super) shared: Arc<Shared>,
    pub(super) tasks: Tasks,
}

#[tonic::async_trait]
impl Registration for Registrar {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<Empty>, Status> {
        let request = request.into_inner();
        select! {
            biased;
            () = self.tasks.token.cancelled() => Err(Status::unavailable("the kubelet is gone")),
            result = self.answer(request) => result.map(|()| Response::new(Empty {})),
        }
    }
}

impl Registrar {
    async fn answer(&self, request: RegisterRequest) -> Result<(), Status> {
        let resource = request.resource_name;
        self.shared.with(|state| {
            state.record(EventKind::Register {
                resource: resource.clone(),
                endpoint: request.endpoint.clone(),
                version: request.version.clone(),
            });
        });
        let mut pending = Pending {
            shared: &self.shared,
            resource: &resource,
            socket: None,
            answered: false,
        };
        let result = self
            .register(
                &mut pending,
                &request.version,
                &request.endpoint,
                request.options,
            )
            .await;
        pending.answered = true;
        result.map_err(|message| {
            self.shared.with(|state| {
                if let Some(socket) = &pending.socket {
                    state.leave_client(&resource, socket);
                }
                state.record(EventKind::Refused {
                    resource: resource.clone(),
                    message: message.clone(),
                });
            });
            // What an error value of Go becomes on the wire.
            Status::unknown(message)
        })
    }

    async fn register(
        &self,
        pending: &mut Pending<'_>,
        version: &str,
        endpoint: &str,
        announced: Option<DevicePluginOptions>,
    ) -> Result<(), String> {
        let resource = pending.resource;
        self.pause(resource, |fault| match fault {
            Fault::DelayRegister(delay) => Some(*delay),
            _ => None,
        })
        .await;
        let refuse = |fault: &Fault| match fault {
            Fault::RefuseRegister { message } => Some(message.clone()),
            _ => None,
        };
        if let Some(message) = self.shared.with(|state| state.fault(resource, refuse)) {
            return Err(message);
        }
        if version != VERSION {
            return Err(format!(
                "requested API version {version:?} is not supported by kubelet. Supported \
                 version is [{VERSION:?}]"
            ));
        }
        if !is_extended_resource(resource) {
            return Err(format!("the ResourceName {resource:?} is invalid"));
        }
        let no_dial = |fault: &Fault| (*fault == Fault::NoDialBack).then_some(());
        if self
            .shared
            .with(|state| state.fault(resource, no_dial))
            .is_some()
        {
            return Ok(());
        }
        if endpoint.contains('/') {
            let text = format!("the endpoint `{endpoint}` is not the bare name of a socket");
            self.shared.with(|state| state.warn(resource, text));
        }
        self.connect(pending, endpoint, announced.map(PluginOptions::from))
            .await
    }

    /// Dials the plugin and asks for its options, all inside `Register`.
    async fn connect(
        &self,
        pending: &mut Pending<'_>,
        endpoint: &str,
        announced: Option<PluginOptions>,
    ) -> Result<(), String> {
        let name = pending.resource;
        // As `filepath.Join` in Go, an absolute endpoint stays below the directory.
        let endpoint = endpoint.trim_start_matches('/');
        let stream = self.shared.with(|state| state.enter_client(name, endpoint));
        pending.socket = Some(endpoint.to_owned());
        let socket = self.shared.dir.join(endpoint);
        let mut api = dial(&socket, self.shared.options.dial_timeout).await?;
        self.shared.with(|state| {
            state.record(EventKind::Dialled {
                resource: name.to_owned(),
                stream,
            });
        });
        self.pause(name, |fault| match fault {
            Fault::DelayOptions(delay) => Some(*delay),
            _ => None,
        })
        .await;
        let answer = api.get_device_plugin_options(Empty {}).await;
        let options = match answer {
            Ok(answer) => PluginOptions::from(answer.into_inner()),
            Err(status) => {
                self.leave_open(api);
                return Err(failed_options(&status));
            }
        };
        let client = Client {
            api,
            token: self.tasks.token.child_token(),
            broken: Arc::default(),
        };
        let connected = self.shared.with(|state| {
            state.record(EventKind::Options {
                resource: name.to_owned(),
                stream,
                options,
            });
            if announced.is_some_and(|announced| announced != options) {
                state.warn(
                    name,
                    "the options in Register do not count, and differ from the answer",
                );
            }
            let client = Some(client.clone());
            let name_of_socket = endpoint.to_owned();
            state.connected(
                name,
                Endpoint {
                    stream,
                    name: name_of_socket,
                    options,
                    client,
                    streaming: false,
                },
            )
        });
        if !connected {
            self.leave_open(client.api);
            let socket = socket.display();
            return Err(format!("device plugin already connected: {socket}"));
        }
        let shared = Arc::clone(&self.shared);
        self.tasks
            .spawn(stream::run(shared, name.to_owned(), stream, client));
        Ok(())
    }

    /// A connection on which a registration has failed stays open, as the real kubelet forgets it.
    fn leave_open(&self, api: Api) {
        self.tasks.spawn(async move {
            let _connection = api;
            pending::<()>().await;
        });
    }

    async fn pause(&self, resource: &str, fits: impl Fn(&Fault) -> Option<Duration>) {
        if let Some(delay) = self.shared.with(|state| state.fault(resource, fits)) {
            sleep(delay).await;
        }
    }
}

fn failed_options(status: &Status) -> String {
    let (code, message) = in_go(status);
    format!("failed to get device plugin options: rpc error: code = {code} desc = {message}")
}

/// Notices a plugin that hangs up in the middle of `Register`: the future is dropped.
struct Pending<'a> {
    shared: &'a Shared,
    resource: &'a str,
    socket: Option<String>,
    answered: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        self.shared.with(|state| {
            if let Some(socket) = &self.socket {
                state.leave_client(self.resource, socket);
            }
            state.record(EventKind::Abandoned {
                resource: self.resource.to_owned(),
            });
        });
    }
}
