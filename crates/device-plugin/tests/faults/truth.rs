//! What there is to tell, and whether the kubelet has been told.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use device_plugin::{
    AllocateError, ContainerEdits, Device, DeviceId, DevicePlugin, DeviceSet, Health, ResourceName,
    Supervisor,
};
use node_sim::{ResourceView, SimDevice};
use tokio::sync::watch;

use crate::{plan::Edit, random::Random};

/// How many resources the plugin can have.
pub(crate) const RESOURCES: usize = 3;
/// How many devices a resource can have.
const DEVICES: usize = 6;

pub(crate) fn name(resource: usize) -> ResourceName {
    format!("example.com/port-{resource}").parse().unwrap()
}

/// Devices of a resource: ID, whether it is healthy, NUMA node if the resource has them.
#[derive(Clone, Default)]
pub(crate) struct Devices(Vec<(String, bool, Option<u32>)>);

impl Devices {
    /// Some of a resource's devices. Now and then there is none.
    pub(crate) fn new(random: &mut Random, resource: usize) -> Self {
        let empty = random.one_in(10);
        let aligned = random.one_in(2);
        let count = if empty { 0 } else { 1 + random.below(DEVICES) };
        let first = random.below(DEVICES);
        let devices = (0..count).map(|index| {
            let number = (first + index) % DEVICES;
            let node = u32::try_from(number % 2).unwrap();
            let id = format!("port-{resource}-{number}");
            (id, !random.one_in(4), aligned.then_some(node))
        });
        Self(devices.collect())
    }

    /// All devices of a resource.
    pub(crate) fn all(resource: usize) -> Self {
        let device = |number| (format!("port-{resource}-{number}"), true, None);
        Self((0..DEVICES).map(device).collect())
    }

    fn set(&self) -> Arc<DeviceSet> {
        let devices = self.0.iter().map(|(id, healthy, node)| Device {
            id: id.parse().unwrap(),
            health: if *healthy {
                Health::Healthy
            } else {
                Health::Unhealthy
            },
            numa_nodes: node.iter().copied().collect(),
        });
        Arc::new(DeviceSet::new(devices).unwrap())
    }

    /// The list as a kubelet shows it.
    fn seen(&self) -> Vec<SimDevice> {
        let mut seen: Vec<_> = self
            .0
            .iter()
            .map(|(id, healthy, node)| SimDevice {
                id: id.clone(),
                healthy: *healthy,
                numa: node.iter().map(|&node| node.into()).collect(),
            })
            .collect();
        seen.sort_unstable();
        seen
    }
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.0.iter().map(|(id, healthy, _)| {
            let sign = if *healthy { "" } else { "!" };
            format!("{sign}{id}")
        });
        f.debug_list().entries(ids).finish()
    }
}

/// A plugin for one resource.
struct Ports(watch::Sender<Arc<DeviceSet>>);

#[async_trait]
impl DevicePlugin for Ports {
    fn devices(&self) -> watch::Receiver<Arc<DeviceSet>> {
        self.0.subscribe()
    }

    async fn allocate(&self, _: &[DeviceId]) -> Result<ContainerEdits, AllocateError> {
        Err(AllocateError::refused("no pod asks here"))
    }
}

/// What the plugin offers.
#[derive(Default)]
pub(crate) struct Truth(BTreeMap<usize, (Arc<Ports>, Devices)>);

impl Truth {
    /// Makes a change, if it is one.
    pub(crate) async fn edit(&mut self, supervisor: &mut Supervisor, edit: &Edit) {
        match edit {
            Edit::Offer(resource, devices) => {
                if !self.0.contains_key(resource) {
                    let ports = Arc::new(Ports(watch::Sender::new(devices.set())));
                    let plugin: Arc<dyn DevicePlugin> = Arc::<Ports>::clone(&ports);
                    supervisor.offer(name(*resource), plugin).unwrap();
                    self.0.insert(*resource, (ports, devices.clone()));
                }
            }
            Edit::Withdraw(resource) => {
                if self.0.remove(resource).is_some() {
                    supervisor.withdraw(&name(*resource)).await;
                }
            }
            Edit::Devices(resource, devices) => {
                if let Some((ports, now)) = self.0.get_mut(resource) {
                    *now = devices.clone();
                    ports.0.send_replace(devices.set());
                }
            }
        }
    }

    /// Whether this resource is to be registered.
    pub(crate) fn has(&self, resource: usize) -> bool {
        let offered = self.0.get(&resource);
        offered.is_some_and(|(_, devices)| !devices.0.is_empty())
    }

    /// Whether any resource is to be registered.
    pub(crate) fn has_any(&self) -> bool {
        (0..RESOURCES).any(|resource| self.has(resource))
    }

    /// Whether a kubelet shows the truth, and nothing but.
    pub(crate) fn is_told(&self, views: &BTreeMap<String, ResourceView>) -> bool {
        (0..RESOURCES).all(|resource| {
            let view = views.get(name(resource).as_str());
            match self.0.get(&resource) {
                Some((_, devices)) if !devices.0.is_empty() => {
                    view.is_some_and(|view| view.streaming && view.devices == devices.seen())
                }
                // Nothing to give. A list that is empty is as good as no list.
                Some(_) => view.is_none_or(|view| view.allocatable == 0),
                None => view.is_none_or(|view| view.allocatable == 0 && !view.streaming),
            }
        })
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (&resource, (_, devices)) in &self.0 {
            writeln!(f, "  {} has {devices:?}", name(resource))?;
        }
        Ok(())
    }
}
