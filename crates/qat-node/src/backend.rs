//! A pool of VFs as a plugin of the framework.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use device_plugin::{
    AllocateError, Call, ContainerEdits, DeviceId, DevicePlugin, DeviceSet, Health, PluginOptions,
    PreferRequest, ResourceName,
};
use passthrough::{Chosen, FunctionNode, Grant, GrantedFunction, VfioInterface};
use qat_policy::{Place, PoolName};
use sysfs_pci::PciAddress;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use vfio_host::VfioNode;

use crate::pools::{CdiMode, PoolSettings};
use crate::rejections::Rejection;
use crate::text::chain;
use crate::{Described, Known, NodeState, Recheck, RecheckError, Verdict};

/// How long a rejection waits for the scan that it triggers, so that the kubelet gets the new list before the error.
const REJECTION_TIMEOUT: Duration = Duration::from_millis(100);

/// One resource: lists its VFs, prefers and hands them out.
#[derive(Debug)]
pub struct PoolBackend {
    /// The resource as pods ask for it.
    pub resource: ResourceName,
    /// The pool behind it.
    pub pool: PoolName,
    /// On what terms its VFs are given. They may change while the pool is offered.
    pub terms: watch::Receiver<Terms>,
    /// What the CDI files say.
    pub described: Arc<Described>,
    /// What was given to containers, of all pools.
    pub given: Arc<Given>,
    /// The node's state, written by its owner.
    pub state: watch::Receiver<Arc<NodeState>>,
    /// What the kubelet is told, written by the owner too.
    pub devices: watch::Receiver<Arc<DeviceSet>>,
    /// Reports to the owner how calls were answered.
    pub calls: mpsc::UnboundedSender<CallEvent>,
}

/// How a call of the kubelet was answered.
#[derive(Debug)]
pub enum CallEvent {
    /// VFs were allocated.
    Allocated(HandedOut),
    /// `Allocate` or `PreStartContainer` was rejected. The sender is used after the device list shows why.
    Rejected(Rejection, oneshot::Sender<()>),
}

/// On what terms the VFs of a pool are given.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How they reach containers, and which are given first.
    pub settings: PoolSettings,
    /// Asks the machine before a VF is handed out.
    pub recheck: Arc<Recheck>,
}

/// The nodes with which VFs were handed out. The kubelet gives a container the same answer each time it starts, so
/// they must still be right then.
#[derive(Debug, Default)]
pub struct Given(Mutex<BTreeMap<PciAddress, Vec<PathBuf>>>);

/// VFs that were handed out.
#[derive(Clone, Debug)]
pub struct HandedOut {
    /// The pool they are from.
    pub pool: PoolName,
    /// The VFs.
    pub vfs: Vec<PciAddress>,
    /// When.
    pub at: Instant,
}

#[async_trait]
impl DevicePlugin for PoolBackend {
    fn devices(&self) -> watch::Receiver<Arc<DeviceSet>> {
        self.devices.clone()
    }

    fn options(&self) -> PluginOptions {
        PluginOptions {
            preferred_allocation: true,
            pre_start: true,
        }
    }

    fn why_unhealthy(&self, id: &DeviceId) -> Option<String> {
        let state = self.state.borrow();
        match &state.pools.get(&self.pool)?.get(&address(id)?)?.verdict {
            Verdict::Unhealthy { reason, .. } => Some(reason.clone()),
            Verdict::Healthy => None,
        }
    }

    async fn prefer(&self, request: &PreferRequest) -> Vec<DeviceId> {
        let must: Vec<PciAddress> = request.must_include.iter().filter_map(address).collect();
        let terms = self.terms();
        let state = Arc::clone(&self.state.borrow());
        let known = |address| Known::of(&state, &self.pool, address);
        let places = request.available.iter().filter_map(address).map(|address| {
            let Known { pf, numa_node, .. } = known(address);
            Place {
                address,
                pf,
                numa_node,
            }
        });
        let mut good: Vec<Place> = places.collect();
        // A VF that would be refused is taken only if there is no other. Each turn drops at least
        // one, so this ends.
        loop {
            let chosen = qat_policy::prefer(terms.settings.policy, &good, &must, request.size);
            let bad = |place: &Place| {
                chosen.contains(&place.address)
                    && !must.contains(&place.address)
                    && terms
                        .recheck
                        .vf(
                            place.address,
                            &self.pool,
                            &known(place.address),
                            VfioInterface::Group,
                        )
                        .is_err()
            };
            let rest: Vec<Place> = good.iter().filter(|place| !bad(place)).copied().collect();
            if rest.len() == good.len() || rest.len() < request.size {
                return ids(&chosen);
            }
            good = rest;
        }
    }

    async fn allocate(&self, ids: &[DeviceId]) -> Result<ContainerEdits, AllocateError> {
        let terms = self.terms();
        let control = match terms.control(terms.settings.interface) {
            Ok(control) => control,
            Err(why) => return Err(self.reject(Call::Allocate, None, &why).await),
        };
        let mut functions = Vec::with_capacity(ids.len());
        for id in ids {
            let address = address(id).ok_or_else(|| AllocateError::Unknown { id: id.clone() })?;
            match self.nodes(address, &terms) {
                Ok(nodes) => functions.push(GrantedFunction { address, nodes }),
                Err(why) => return Err(self.reject(Call::Allocate, Some(address), &why).await),
            }
        }
        self.given.remember(&functions);
        // Only while the daemon ends there is no owner any more.
        let _told = self.calls.send(CallEvent::Allocated(HandedOut {
            pool: self.pool.clone(),
            vfs: functions.iter().map(|function| function.address).collect(),
            at: Instant::now(),
        }));
        // A VF that turned unhealthy meanwhile may move to another pool, unless the owner reads the line above first.
        self.still_healthy(ids)?;
        tracing::info!(resource = %self.resource, vfs = %listed(ids), "allocated");
        Ok(passthrough::edits(&Grant {
            resource: &self.resource,
            functions,
            control,
            numbered_prefix: terms.settings.numbered_prefix.as_ref(),
            cdi_names: terms.settings.cdi == CdiMode::Field,
        }))
    }

    /// Looks once more at what a container was given. There is nothing to be made ready: vfio-pci resets a function
    /// when it is opened and when it is closed (`vfio_pci_core_enable` and `vfio_pci_core_disable` in
    /// `drivers/vfio/pci/vfio_pci_core.c`).
    async fn pre_start(&self, ids: &[DeviceId]) -> Result<(), AllocateError> {
        let terms = self.terms();
        for id in ids {
            let address = address(id).ok_or_else(|| AllocateError::Unknown { id: id.clone() })?;
            // As it was allocated, whatever the configuration says now: the container gets the same nodes again.
            let given = self.given.interface(address);
            let interface = given.unwrap_or(terms.settings.interface);
            if let Err(why) = terms.control(interface) {
                return Err(self.reject(Call::PreStart, None, &why).await);
            }
            let chosen = terms.recheck.held(address, interface);
            let ready = chosen.and_then(|chosen| self.given.check(address, &chosen.nodes));
            if let Err(why) = ready {
                return Err(self.reject(Call::PreStart, Some(address), &why).await);
            }
        }
        tracing::debug!(resource = %self.resource, vfs = %listed(ids), "ready");
        Ok(())
    }
}

impl Given {
    /// What an earlier process gave.
    pub(crate) fn resume(&self, given: BTreeMap<PciAddress, Vec<PathBuf>>) {
        *self.lock() = given;
    }

    /// What was given of these VFs. The others are forgotten.
    pub(crate) fn of(&self, vfs: &BTreeSet<PciAddress>) -> BTreeMap<PciAddress, Vec<PathBuf>> {
        let mut given = self.lock();
        given.retain(|vf, _| vfs.contains(vf));
        given.clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PciAddress, Vec<PathBuf>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, functions: &[GrantedFunction]) {
        let mut given = self.lock();
        for function in functions {
            let paths = function.nodes.iter().map(host_path);
            given.insert(function.address, paths.collect());
        }
    }

    /// The interface by which a VF was allocated, as its nodes show it. `None` if no allocation is recorded.
    pub(crate) fn interface(&self, address: PciAddress) -> Option<VfioInterface> {
        let given = self.lock();
        let nodes = given.get(&address)?;
        let character_device =
            |path: &&PathBuf| path.parent().is_some_and(|dir| dir.ends_with("devices"));
        let character_devices = nodes.iter().filter(character_device).count();
        Some(match (character_devices, nodes.len() - character_devices) {
            (0, 0) => VfioInterface::None,
            (0, _) => VfioInterface::Group,
            (_, 0) => VfioInterface::Cdev,
            (_, _) => VfioInterface::Both,
        })
    }

    /// Whether a VF still has the nodes with which it was given.
    fn check(&self, address: PciAddress, now: &[FunctionNode]) -> Result<(), RecheckError> {
        let given = self.lock();
        let now: Vec<PathBuf> = now.iter().map(host_path).collect();
        let Some(before) = given.get(&address).filter(|before| **before != now) else {
            return Ok(());
        };
        let first = |paths: &[PathBuf]| paths.first().cloned().unwrap_or_default();
        let other = before.iter().find(|path| !now.contains(path));
        Err(RecheckError::Renewed {
            address,
            given: other.cloned().unwrap_or_else(|| first(before)),
            now: first(&now),
        })
    }
}

fn host_path(node: &FunctionNode) -> PathBuf {
    Path::to_owned(node.host_path())
}

impl PoolBackend {
    /// The terms of now.
    fn terms(&self) -> Terms {
        self.terms.borrow().clone()
    }

    /// Checks that these VFs may still be allocated.
    fn still_healthy(&self, ids: &[DeviceId]) -> Result<(), AllocateError> {
        let devices = self.devices.borrow();
        let healthy = |id: &&DeviceId| {
            let device = devices.get(id);
            device.is_some_and(|device| device.health == Health::Healthy)
        };
        match ids.iter().find(|id| !healthy(id)) {
            None => Ok(()),
            Some(id) => Err(AllocateError::Unhealthy {
                id: id.clone(),
                why: self.why_unhealthy(id),
            }),
        }
    }

    /// Reports a rejection to the owner, waits for the device list that shows why, and returns the error for the kubelet.
    async fn reject(
        &self,
        call: Call,
        vf: Option<PciAddress>,
        why: &RecheckError,
    ) -> AllocateError {
        let rejection = Rejection::new(self.pool.clone(), vf, why);
        let (done, listed) = oneshot::channel();
        let sent = self.calls.send(CallEvent::Rejected(rejection, done));
        if sent.is_ok() {
            // An owner that is busy is not waited for: the list follows later then.
            let _in_time = timeout(REJECTION_TIMEOUT, listed).await;
        }
        AllocateError::refused(chain(why) + advice(call, why))
    }

    /// The nodes with which a VF can be handed out now.
    fn nodes(&self, address: PciAddress, terms: &Terms) -> Result<Vec<FunctionNode>, RecheckError> {
        let known = Known::of(&self.state.borrow(), &self.pool, address);
        let PoolSettings { interface, cdi, .. } = terms.settings;
        let Chosen {
            nodes,
            without_cdev,
        } = terms.recheck.vf(address, &self.pool, &known, interface)?;
        if without_cdev {
            tracing::warn!(
                resource = %self.resource, vf = %address,
                "the VF has no node in /dev/vfio/devices, so the container gets the group's"
            );
        }
        let described = self.described.check(&self.pool, cdi, address, &nodes);
        described.map_err(|why| RecheckError::Cdi { address, why })?;
        Ok(nodes)
    }
}

impl Terms {
    /// The control node. A container that gets no nodes does without, and one that gets character devices can.
    fn control(&self, interface: VfioInterface) -> Result<Option<VfioNode>, RecheckError> {
        match interface {
            VfioInterface::Group | VfioInterface::Both => self.recheck.control(),
            VfioInterface::Cdev | VfioInterface::None => Ok(self.recheck.control().ok().flatten()),
        }
    }
}

/// What becomes of the pod. A rejected Allocate fails it for good; a rejected container start is retried.
const fn advice(call: Call, why: &RecheckError) -> &'static str {
    match (call, why) {
        (_, RecheckError::Renewed { .. }) => "",
        (Call::PreStart, _) => "; the kubelet retries until the container can start",
        _ if why.vf_code().is_some() => "; recreate the pod to get another VF",
        _ => "; then recreate the pod",
    }
}

fn ids(addresses: &[PciAddress]) -> Vec<DeviceId> {
    let texts = addresses.iter().map(PciAddress::to_string);
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// A device ID of ours is a PCI address.
fn address(id: &DeviceId) -> Option<PciAddress> {
    id.as_str().parse().ok()
}

fn listed(ids: &[DeviceId]) -> String {
    ids.iter()
        .map(DeviceId::as_str)
        .collect::<Vec<_>>()
        .join(",")
}
