//! A plugin, and the directory where it meets its kubelet.

use async_trait::async_trait;
use device_plugin::{
    AllocateError, ContainerEdits, Device, DeviceId, DevicePlugin, DeviceSet, Health, KubeletDir,
    PluginOptions, PreferRequest, ResourceName, State, Supervisor,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use crate::kubelet::DEADLINE;

/// Devices that are named in advance.
pub(crate) struct Ports {
    pub(crate) devices: watch::Sender<Arc<DeviceSet>>,
    /// How long the plugin thinks about an allocation.
    pub(crate) thinks: Duration,
    /// Told when it begins to think.
    pub(crate) begun: Notify,
}

/// Makes a set: `id` for a healthy device, `!id` for an unhealthy one.
pub(crate) fn set(ids: &[&str]) -> Arc<DeviceSet> {
    let devices = ids.iter().map(|id| Device {
        id: id.trim_start_matches('!').parse().unwrap(),
        health: if id.starts_with('!') {
            Health::Unhealthy
        } else {
            Health::Healthy
        },
        numa_nodes: Vec::new(),
    });
    Arc::new(DeviceSet::new(devices).unwrap())
}

impl Ports {
    pub(crate) fn new(ids: &[&str]) -> Arc<Self> {
        Self::thinking(ids, Duration::ZERO)
    }

    pub(crate) fn thinking(ids: &[&str], thinks: Duration) -> Arc<Self> {
        let devices = watch::Sender::new(set(ids));
        let begun = Notify::new();
        Arc::new(Self {
            devices,
            thinks,
            begun,
        })
    }

    pub(crate) fn publish(&self, ids: &[&str]) {
        self.devices.send_replace(set(ids));
    }
}

#[async_trait]
impl DevicePlugin for Ports {
    fn devices(&self) -> watch::Receiver<Arc<DeviceSet>> {
        self.devices.subscribe()
    }

    fn options(&self) -> PluginOptions {
        PluginOptions {
            preferred_allocation: true,
            pre_start: true,
        }
    }

    fn why_unhealthy(&self, id: &DeviceId) -> Option<String> {
        (id.as_str() == "sick").then(|| "it coughs".to_owned())
    }

    async fn allocate(&self, ids: &[DeviceId]) -> Result<ContainerEdits, AllocateError> {
        self.begun.notify_one();
        sleep(self.thinks).await;
        if let Some(id) = ids.iter().find(|id| id.as_str() == "cursed") {
            return Err(AllocateError::refused(format!(
                "device `{id}` is cursed; get a priest"
            )));
        }
        let ids: Vec<&str> = ids.iter().map(DeviceId::as_str).collect();
        let mut edits = ContainerEdits::default();
        edits.envs.insert("PORTS".to_owned(), ids.join(","));
        Ok(edits)
    }

    /// A preference that breaks every rule.
    async fn prefer(&self, request: &PreferRequest) -> Vec<DeviceId> {
        let mut all = request.available.clone();
        all.extend(request.available.iter().cloned());
        all.push("nowhere".parse().unwrap());
        all.reverse();
        all
    }

    async fn pre_start(&self, ids: &[DeviceId]) -> Result<(), AllocateError> {
        self.allocate(ids).await.map(drop)
    }
}

/// A directory, and a supervisor with one resource in it.
pub(crate) struct Node {
    pub(crate) dir: TempDir,
    pub(crate) supervisor: Supervisor,
}

impl Node {
    pub(crate) fn new() -> Self {
        let dir = node_sim::scratch().unwrap();
        let supervisor = Supervisor::new(KubeletDir::new(dir.path()));
        Self { dir, supervisor }
    }

    pub(crate) fn offering(plugin: &Arc<Ports>) -> Self {
        let mut node = Self::new();
        node.offer(plugin);
        node
    }

    pub(crate) fn offer(&mut self, plugin: &Arc<Ports>) {
        let plugin: Arc<dyn DevicePlugin> = Arc::<Ports>::clone(plugin);
        self.supervisor.offer(resource(), plugin).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("example.com-port.sock")
    }

    /// Waits until the resource is in a state.
    pub(crate) async fn state(&self, wanted: State) {
        wait_for(&mut self.supervisor.states(), &wanted).await;
    }
}

pub(crate) async fn wait_for(
    states: &mut watch::Receiver<BTreeMap<ResourceName, State>>,
    wanted: &State,
) {
    let reached = states.wait_for(|states| states.get(&resource()) == Some(wanted));
    let reached = timeout(DEADLINE, reached)
        .await
        .is_ok_and(|state| state.is_ok());
    assert!(reached, "not {wanted:?}, but {:?}", states.borrow());
}

pub(crate) fn resource() -> ResourceName {
    "example.com/port".parse().unwrap()
}
