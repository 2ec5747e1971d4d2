//! One resource, as the device manager of the kubelet keeps it.

use std::{collections::BTreeMap, time::Instant};

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
