//! The pools that the kubelet is served.

use std::sync::Arc;

use device_plugin::{DeviceSet, ResourceName};
use passthrough::clash;
use qat_policy::PoolName;
use tokio::sync::watch;
use tracing::error;

use super::Owner;
use crate::text::chain;
use crate::{NodeState, PoolBackend, Terms, resource_name};

/// A pool that is offered.
pub(super) struct OpenPool {
    /// Where its devices are published.
    pub(super) devices: watch::Sender<Arc<DeviceSet>>,
    /// Where it is said on what terms they are given.
    pub(super) terms: watch::Sender<Terms>,
}

impl Owner {
    /// Publishes the device list of each pool, stops serving pools that are gone, and serves new ones.
    pub(super) async fn update_pools(&mut self, state: &NodeState) {
        // Lists first: to end a pool may take a while.
        for (pool, open) in &self.pools {
            if let (Some(open), true) = (open, state.pools.contains_key(pool)) {
                let devices = state.device_set(pool, self.config.of(pool).topology);
                open.devices.send_if_modified(|listed| {
                    let differ = **listed != devices;
                    if differ {
                        *listed = Arc::new(devices);
                    }
                    differ
                });
            }
        }
        let gone: Vec<PoolName> = self
            .pools
            .keys()
            .filter(|pool| !state.pools.contains_key(*pool))
            .cloned()
            .collect();
        for pool in gone {
            self.pools.remove(&pool);
            // A pool without a valid name was never offered.
            if let Ok(resource) = resource_name(&pool) {
                self.supervisor.withdraw(&resource).await;
            }
        }
        for pool in state.pools.keys() {
            if !self.pools.contains_key(pool) {
                let devices = Arc::new(state.device_set(pool, self.config.of(pool).topology));
                let open = self.open_pool(pool, devices);
                self.pools.insert(pool.clone(), open);
            }
        }
    }

    /// The resource of a pool, if no pool that is open leads to the same variables.
    fn resource(&self, pool: &PoolName) -> Result<ResourceName, String> {
        let resource = resource_name(pool).map_err(|error| chain(&error))?;
        let others = self.pools.iter().filter(|(_, open)| open.is_some());
        for other in others.filter_map(|(other, _)| resource_name(other).ok()) {
            if let Some(variable) = clash(&resource, &other) {
                return Err(format!(
                    "`{other}` sets the variable `{variable}` already; give one of them another name"
                ));
            }
        }
        Ok(resource)
    }

    /// Offers a new pool. Says why if that cannot be, and the others go on.
    fn open_pool(&mut self, pool: &PoolName, devices: Arc<DeviceSet>) -> Option<OpenPool> {
        let (devices, list) = watch::channel(devices);
        let (terms, current) = watch::channel(self.terms(pool));
        let offered = self.resource(pool).and_then(|resource| {
            let backend = PoolBackend {
                resource: resource.clone(),
                pool: pool.clone(),
                terms: current,
                described: self.cdi.described(),
                given: Arc::clone(&self.given),
                state: self.publish.subscribe(),
                devices: list,
                calls: self.calls.clone(),
            };
            let offered = self.supervisor.offer(resource, Arc::new(backend));
            offered.map_err(|error| chain(&error))
        });
        match offered {
            Ok(()) => Some(OpenPool { devices, terms }),
            Err(why) => {
                error!("pool {pool} cannot be offered: {why}");
                None
            }
        }
    }
}
