//! One resource, as the device manager of the kubelet keeps it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use tokio_util::sync::CancellationToken;

use super::{
    dial::Api,
    view::{PluginOptions, ResourceView, SimDevice},
};

/// A resource that was registered once.
#[derive(Default, Debug)]
pub(super) struct Resource {
    /// The client of the last accepted registration. `None`: known from the checkpoint.
    pub(super) endpoint: Option<Endpoint>,
    /// Clients of earlier registrations that are still connected.
    pub(super) others: Vec<Endpoint>,
    /// The last list.
    pub(super) devices: BTreeMap<String, SimDevice>,
    pub(super) lists_received: u64,
    pub(super) registrations: u64,
    /// When the plugin went away.
    pub(super) stopped: Option<Instant>,
}

/// The kubelet's end of one registration.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The number of the client.
    pub(super) stream: u64,
    /// The socket name in the registration.
    pub(super) name: String,
    pub(super) options: PluginOptions,
    /// `None`: the kubelet hung up. The connection ends when the last copy is dropped.
    pub(super) client: Option<Client>,
    pub(super) streaming: bool,
}

/// What is needed to call a plugin.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) api: Api,
    /// Cancelled when the kubelet disconnects this client.
    pub(super) token: CancellationToken,
    /// The connection broke, so that every call fails by itself.
    pub(super) broken: Arc<AtomicBool>,
}

impl Endpoint {
    /// Closes the connection, as far as it is held here: who else has a copy is told.
    pub(super) fn close(&mut self) {
        if let Some(client) = self.client.take() {
            client.token.cancel();
        }
    }
}

impl Resource {
    /// A resource after a restart of the kubelet: no devices, and a plugin that is away.
    pub(super) fn from_checkpoint(now: Instant) -> Self {
        Self {
            stopped: Some(now),
            ..Self::default()
        }
    }

    /// The way to the plugin, if it is there.
    pub(super) fn client(&self) -> Option<Client> {
        let endpoint = self.endpoint.as_ref();
        let client = endpoint.and_then(|endpoint| endpoint.client.clone());
        client.filter(|_| self.stopped.is_none())
    }

    /// All clients.
    pub(super) fn endpoints(&mut self) -> impl Iterator<Item = &mut Endpoint> {
        self.endpoint.iter_mut().chain(&mut self.others)
    }

    /// Whether a client of this socket is connected.
    pub(super) fn is_connected(&mut self, socket: &str) -> bool {
        let mut connected = self
            .endpoints()
            .filter(|endpoint| endpoint.client.is_some());
        connected.any(|endpoint| endpoint.name == socket)
    }

    /// Makes `endpoint` the one that is asked. The one before stays connected.
    pub(super) fn connect(&mut self, endpoint: Endpoint) {
        let before = self.endpoint.replace(endpoint);
        self.others
            .extend(before.filter(|before| before.client.is_some()));
    }

    /// Closes the client of a socket. Returns whether another one is left.
    pub(super) fn disconnect(&mut self, socket: &str) -> bool {
        for endpoint in self.endpoints().filter(|endpoint| endpoint.name == socket) {
            endpoint.streaming = false;
            endpoint.close();
        }
        self.others.retain(|endpoint| endpoint.client.is_some());
        let is_open = |endpoint: &Endpoint| endpoint.client.is_some();
        if !self.endpoint.as_ref().is_some_and(is_open)
            && let Some(other) = self.others.pop()
        {
            self.endpoint = Some(other);
        }
        self.endpoint.as_ref().is_some_and(is_open)
    }

    pub(super) fn healthy(&self) -> impl Iterator<Item = &SimDevice> {
        self.devices.values().filter(|device| device.healthy)
    }

    pub(super) fn view(&self, name: &str, assigned: usize) -> ResourceView {
        let endpoint = self.endpoint.as_ref();
        ResourceView {
            name: name.to_owned(),
            endpoint: endpoint.map(|e| e.name.clone()).unwrap_or_default(),
            options: endpoint.map(|e| e.options).unwrap_or_default(),
            devices: self.devices.values().cloned().collect(),
            capacity: self.devices.len(),
            allocatable: self.healthy().count(),
            assigned,
            lists_received: self.lists_received,
            registrations: self.registrations,
            streaming: endpoint.is_some_and(|e| e.streaming),
        }
    }
}
