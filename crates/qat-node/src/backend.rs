//! A pool of VFs as a plugin of the framework.

use std::sync::Arc;

use async_trait::async_trait;
use device_plugin::{
    AllocateError, ContainerEdits, DeviceId, DevicePlugin, DeviceSet, PluginOptions, PreferRequest,
    ResourceName,
};
use passthrough::{Grant, GrantedFunction};
use qat_policy::{AllocationPolicy, Place, PoolName};
use sysfs_pci::PciAddress;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::text::chain;
use crate::{NodeState, Recheck, RecheckError};

/// Intel's images read the VFs' addresses from `QAT0`, `QAT1`, ….
const NUMBERED_PREFIX: &str = "QAT";

/// One resource: lists its VFs, prefers and hands them out.
#[derive(Debug)]
pub struct PoolBackend {
    /// The resource as pods ask for it.
    pub resource: ResourceName,
    /// The pool behind it.
    pub pool: PoolName,
    /// Which free VFs are given first.
    pub policy: AllocationPolicy,
    /// Asks the machine before a VF is handed out.
    pub recheck: Arc<Recheck>,
    /// The node's state, written by its owner.
    pub state: watch::Receiver<Arc<NodeState>>,
    /// What the kubelet is told, written by the owner too.
    pub devices: watch::Receiver<Arc<DeviceSet>>,
    /// Tells the owner what was handed out.
    pub handed_out: mpsc::UnboundedSender<HandedOut>,
}

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
            ..PluginOptions::default()
        }
    }

    async fn prefer(&self, request: &PreferRequest) -> Vec<DeviceId> {
        let must: Vec<PciAddress> = request.must_include.iter().filter_map(address).collect();
        let mut good: Vec<Place> = {
            let state = self.state.borrow();
            let ids = request.available.iter().filter_map(address);
            ids.map(|address| self.place(&state, address)).collect()
        };
        // A VF that would be refused is taken only if there is no other. Each turn drops at least
        // one, so this ends.
        loop {
            let chosen = qat_policy::prefer(self.policy, &good, &must, request.size);
            let bad = |place: &Place| {
                chosen.contains(&place.address)
                    && !must.contains(&place.address)
                    && self
                        .recheck
                        .vf(place.address, &self.pool, place.pf)
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
        let control = self.recheck.control().map_err(|why| refused(&why))?;
        let mut functions = Vec::with_capacity(ids.len());
        for id in ids {
            let address = address(id).ok_or_else(|| AllocateError::Unknown { id: id.clone() })?;
            let pf = self.place(&self.state.borrow(), address).pf;
            let usable = self.recheck.vf(address, &self.pool, pf);
            functions.push(GrantedFunction {
                address,
                node: Some(usable.map_err(|why| refused(&why))?),
            });
        }
        // Only while the daemon ends there is no owner any more.
        let _told = self.handed_out.send(HandedOut {
            pool: self.pool.clone(),
            vfs: functions.iter().map(|function| function.address).collect(),
            at: Instant::now(),
        });
        tracing::info!(resource = %self.resource, vfs = %listed(ids), "allocated");
        Ok(passthrough::edits(&Grant {
            resource: &self.resource,
            functions,
            control,
            numbered_prefix: Some(NUMBERED_PREFIX),
        }))
    }
}

impl PoolBackend {
    /// Where a VF sits. A VF of which nothing is known sits nowhere in particular.
    fn place(&self, state: &NodeState, address: PciAddress) -> Place {
        let known = state
            .pools
            .get(&self.pool)
            .and_then(|vfs| vfs.get(&address));
        Place {
            address,
            pf: known.and_then(|vf| vf.pf),
            numa_node: known.and_then(|vf| vf.numa_node),
        }
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

fn refused(why: &RecheckError) -> AllocateError {
    AllocateError::refused(chain(why))
}

fn listed(ids: &[DeviceId]) -> String {
    ids.iter()
        .map(DeviceId::as_str)
        .collect::<Vec<_>>()
        .join(",")
}
