//! Every fact that the kubelet holds, and the rules by which it changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use kubelet_api::deviceplugin::v1beta1::Device;

use super::{
    checkpoint::{Checkpoint, CheckpointEntry},
    ledger::{Ledger, Record},
    list,
    options::{Fault, KubeletOptions, Reregistration, Times},
    random::Random,
    resource::{Endpoint, Resource},
    transcript::{EventKind, Log, StreamEnd},
    view::ResourceView,
};

/// The state behind the one lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Log,
    pub(super) random: Random,
    pub(super) resources: BTreeMap<String, Resource>,
    /// The registration server's clients: by resource, socket and stream. Up to 1.36 there is one
    /// for a resource, and its name is all that finds it.
    pub(super) clients: BTreeMap<String, Vec<(String, u64)>>,
    /// Which pod has which devices.
    pub(super) pods: Ledger,
    /// Where the checkpoint is.
    dir: PathBuf,
    pub(super) faults: Vec<(Fault, Times)>,
    last_number: u64,
    reregistration: Reregistration,
    stop_grace: Duration,
}

impl State {
    pub(super) fn new(dir: PathBuf, options: &KubeletOptions) -> Self {
        Self {
            log: Log::new(),
            random: Random::new(options.seed),
            resources: BTreeMap::new(),
            clients: BTreeMap::new(),
            pods: Ledger::default(),
            dir,
            faults: options.faults.clone(),
            last_number: 0,
            reregistration: options.reregistration,
            stop_grace: options.stop_grace,
        }
    }

    pub(super) fn record(&mut self, kind: EventKind) {
        self.log.push(kind);
    }

    pub(super) fn warn(&mut self, resource: &str, text: impl Into<String>) {
        let resource = resource.to_owned();
        let text = text.into();
        self.record(EventKind::Warning { resource, text });
    }

    /// A number that was not used before.
    pub(super) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Reaches a step: takes the first fault that `fits`, and records it.
    pub(super) fn fault<T>(
        &mut self,
        resource: &str,
        fits: impl Fn(&Fault) -> Option<T>,
    ) -> Option<T> {
        let (index, value) = self
            .faults
            .iter()
            .enumerate()
            .find_map(|(index, (fault, _))| fits(fault).map(|value| (index, value)))?;
        let fault = self.faults[index].0.clone();
        if self.faults[index].1 == Times::Once {
            self.faults.remove(index);
        }
        self.record(EventKind::Misbehaved {
            resource: resource.to_owned(),
            fault,
        });
        Some(value)
    }

    /// The kubelet begins anew, with what its checkpoint says: known resources have no devices
    /// and no plugin.
    pub(super) fn begin(&mut self) {
        let checkpoint = Checkpoint::read(&self.dir).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                let message = format!("cannot be read: {error}");
                self.record(EventKind::CheckpointFailed { message });
            }
            Checkpoint::default()
        });
        let now = Instant::now();
        self.clients.clear();
        let resources = checkpoint.registered.into_keys();
        self.resources = resources
            .map(|name| (name, Resource::from_checkpoint(now)))
            .collect();
        let last = &mut self.last_number;
        self.pods.begin(checkpoint.entries, || {
            *last += 1;
            *last
        });
    }

    /// Writes the checkpoint.
    pub(super) fn save(&mut self) -> io::Result<()> {
        let resources = self.resources.iter();
        let registered = resources.map(|(name, resource)| {
            let ids = resource.healthy().map(|device| device.id.clone());
            (name.clone(), ids.collect())
        });
        let checkpoint = Checkpoint {
            entries: self.pods.entries().to_vec(),
            registered: registered.collect(),
        };
        let result = checkpoint.write(&self.dir);
        if let Err(error) = &result {
            let message = format!("cannot be written: {error}");
            self.record(EventKind::CheckpointFailed { message });
        }
        result
    }

    /// A client is entered before it is connected. Up to 1.36 a later one takes the place.
    pub(super) fn enter_client(&mut self, resource: &str, socket: &str) -> u64 {
        let stream = self.number();
        let clients = self.clients.entry(resource.to_owned()).or_default();
        if self.reregistration == Reregistration::RaceUntil136 {
            clients.clear();
        }
        clients.push((socket.to_owned(), stream));
        stream
    }

    /// The client could not be connected. Whatever else is found by the same key leaves with it.
    pub(super) fn leave_client(&mut self, resource: &str, socket: &str) {
        let by_name = self.reregistration == Reregistration::RaceUntil136;
        if let Some(clients) = self.clients.get_mut(resource) {
            clients.retain(|(of, _)| !by_name && of != socket);
        }
    }

    /// The plugin was reached and gave its options. The devices stay until the first list.
    ///
    /// `false`: since 1.37 a socket is not connected twice for a resource.
    pub(super) fn connected(&mut self, name: &str, endpoint: Endpoint) -> bool {
        let stream = endpoint.stream;
        let resource = self.resources.entry(name.to_owned()).or_default();
        let is_fixed = self.reregistration == Reregistration::Fixed;
        if is_fixed && resource.is_connected(&endpoint.name) {
            return false;
        }
        resource.connect(endpoint);
        resource.registrations += 1;
        resource.stopped = None;
        self.record(EventKind::Registered {
            resource: name.to_owned(),
            stream,
        });
        true
    }

    pub(super) fn stream_opened(&mut self, name: &str, stream: u64) {
        if let Some(endpoint) = self.endpoint(name, stream) {
            endpoint.streaming = true;
        }
        self.record(EventKind::StreamOpened {
            resource: name.to_owned(),
            stream,
        });
    }

    /// A list replaces the one before, whichever stream it came from. `first` tells whether
    /// it is the first one of its stream.
    pub(super) fn list(&mut self, name: &str, stream: u64, first: bool, devices: Vec<Device>) {
        let (list, mut warnings) = list::read(devices);
        let assigned = self.assigned(name);
        let Some(resource) = self.resources.get_mut(name) else {
            return;
        };
        warnings.extend(list::compare(&resource.devices, &list, &assigned));
        if first && list.is_empty() {
            warnings.push("the first list is empty; look first, register after".to_owned());
        }
        if !first && resource.devices == list {
            let text = "the list is the same as before; each one makes the kubelet write a file";
            warnings.push(text.to_owned());
        }
        let healthy = list.values().filter(|device| device.healthy).count();
        let unhealthy = list.len() - healthy;
        resource.devices = list;
        resource.lists_received += 1;
        warnings.extend(self.shared_ids(name));
        self.record(EventKind::List {
            resource: name.to_owned(),
            stream,
            healthy,
            unhealthy,
        });
        for text in warnings {
            self.warn(name, text);
        }
        // The kubelet goes on when this fails.
        drop(self.save());
    }

    /// How many lists came for a resource since the kubelet started, on all streams.
    pub(super) fn lists_received(&self, resource: &str) -> u64 {
        self.resources
            .get(resource)
            .map_or(0, |resource| resource.lists_received)
    }

    /// An ID must not be healthy in two resources that are served: the kubelet counts each by itself, and would assign the
    /// device to two pods.
    fn shared_ids(&self, name: &str) -> Vec<String> {
        let Some(own) = self.resources.get(name) else {
            return Vec::new();
        };
        let others = self.resources.iter().filter(|(other, resource)| {
            let served = resource.endpoint.as_ref();
            *other != name && served.is_some_and(|endpoint| endpoint.streaming)
        });
        others
            .flat_map(|(other, resource)| {
                let healthy = resource.devices.iter().filter(|(_, device)| device.healthy);
                let shared = healthy.filter(|(id, _)| {
                    let device = own.devices.get(*id);
                    device.is_some_and(|device| device.healthy)
                });
                shared.map(move |(id, _)| format!("the ID `{id}` is also a device of {other}"))
            })
            .collect()
    }

    /// A stream is over.
    pub(super) fn stream_ended(&mut self, name: &str, stream: u64, end: StreamEnd) {
        let socket = self.endpoint(name, stream).map(|endpoint| {
            endpoint.streaming = false;
            endpoint.name.clone()
        });
        self.record(EventKind::StreamEnded {
            resource: name.to_owned(),
            stream,
            end,
        });
        match self.reregistration {
            // A client that a rejected registration has removed is never disconnected.
            Reregistration::Fixed => {
                let Some(socket) = socket.filter(|socket| self.remove_client(name, socket)) else {
                    return;
                };
                let resource = self.resources.get_mut(name);
                if resource.is_some_and(|resource| !resource.disconnect(&socket)) {
                    self.mark_unhealthy(name);
                }
            }
            // The client that is found under the name is disconnected, even if it is another one.
            Reregistration::RaceUntil136 => {
                let clients = self.clients.remove(name).unwrap_or_default();
                for (_, current) in clients {
                    if let Some(endpoint) = self.endpoint(name, current) {
                        endpoint.streaming = false;
                        endpoint.close();
                    }
                    self.mark_unhealthy(name);
                }
            }
        }
    }

    /// Removes the clients of a socket. Returns whether there was one.
    fn remove_client(&mut self, resource: &str, socket: &str) -> bool {
        let Some(clients) = self.clients.get_mut(resource) else {
            return false;
        };
        let before = clients.len();
        clients.retain(|(of, _)| of != socket);
        clients.len() < before
    }

    fn mark_unhealthy(&mut self, name: &str) {
        let Some(resource) = self.resources.get_mut(name) else {
            return;
        };
        resource.stopped = Some(Instant::now());
        for device in resource.devices.values_mut() {
            device.healthy = false;
        }
        self.record(EventKind::MarkedUnhealthy {
            resource: name.to_owned(),
        });
    }

    /// The client of a resource with this stream.
    fn endpoint(&mut self, name: &str, stream: u64) -> Option<&mut Endpoint> {
        let mut endpoints = self.resources.get_mut(name)?.endpoints();
        endpoints.find(|endpoint| endpoint.stream == stream)
    }

    /// The devices of `resource` that belong to pods.
    pub(super) fn assigned(&self, resource: &str) -> BTreeSet<String> {
        self.pods.assigned(resource)
    }

    /// A plugin has answered for a container.
    pub(super) fn grant(&mut self, pod: &Record, resource: &str, ids: &[String], answer: Vec<u8>) {
        let known = self.resources.get(resource);
        let mut devices: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for id in ids {
            let device = known.and_then(|known| known.devices.get(id));
            let nodes = device.map_or(&[][..], |device| &device.numa);
            let nodes = if nodes.is_empty() { &[-1] } else { nodes };
            for &node in nodes {
                devices.entry(node).or_default().push(id.clone());
            }
        }
        self.pods.grant(CheckpointEntry {
            pod_uid: pod.uid.clone(),
            container: pod.container.clone(),
            resource: resource.to_owned(),
            devices,
            answer,
        });
    }

    /// Forgets resources whose plugin stayed away for too long. Returns when to look again.
    pub(super) fn expire(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let grace = self.stop_grace;
        let end = |resource: &Resource| resource.stopped.map(|stopped| stopped + grace);
        let gone: Vec<String> = self
            .resources
            .iter()
            .filter(|(_, resource)| end(resource).is_some_and(|end| end <= now))
            .map(|(name, _)| name.clone())
            .collect();
        if !gone.is_empty() {
            for resource in gone {
                self.resources.remove(&resource);
                self.record(EventKind::Forgotten { resource });
            }
            // The kubelet goes on when this fails.
            drop(self.save());
        }
        self.resources.values().filter_map(end).min()
    }

    pub(super) fn views(&self) -> BTreeMap<String, ResourceView> {
        let view = |(name, resource): (&String, &Resource)| {
            let assigned = self.assigned(name).len();
            (name.clone(), resource.view(name, assigned))
        };
        self.resources.iter().map(view).collect()
    }
}
