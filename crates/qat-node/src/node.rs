//! The owner of the state: looks, judges, publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use device_plugin::{
    DeviceSet, DeviceSetError, OfferError, ResourceName, ResourceNameError, Supervisor,
};
use qat_policy::{AllocationPolicy, Family, PoolName, ResourceNames, Rules};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::journal::{Journal, facts};
use crate::text::chain;
use crate::{Looker, NodeState, PoolBackend, Recheck, Roots, judge, resource_name};

/// How long open streams and calls may take to end after a stop.
const GRACE: Duration = Duration::from_secs(5);

/// What to offer, from where, to whom.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Where the machine is.
    pub roots: Roots,
    /// The families whose VFs are offered.
    pub families: BTreeSet<Family>,
    /// How resources are spelt.
    pub names: ResourceNames,
    /// At most so many VFs are offered.
    pub cap: Option<NonZeroUsize>,
    /// Which free VFs a pod gets first.
    pub policy: AllocationPolicy,
    /// Time between two looks.
    pub rescan: Duration,
}

impl NodeSettings {
    /// The rules by which VFs are offered or withheld.
    pub fn rules(&self) -> Rules {
        Rules {
            families: self.families.clone(),
            names: self.names,
            drivers: qat_policy::vfio_drivers(),
            cap: self.cap,
        }
    }
}

/// Why the node stopped serving.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A pool's name makes no resource name.
    #[error("pool `{pool}` makes no resource name")]
    Name {
        /// The pool.
        pool: PoolName,
        /// Which rule it breaks.
        source: ResourceNameError,
    },
    /// The devices of a pool make no list.
    #[error("the devices of pool `{pool}` make no list")]
    Devices {
        /// The pool.
        pool: PoolName,
        /// What is wrong with them.
        source: DeviceSetError,
    },
    /// A resource cannot be offered.
    #[error("cannot offer `{resource}`")]
    Offer {
        /// The resource.
        resource: ResourceName,
        /// Why not.
        source: OfferError,
    },
}

/// Serves a node until `stop` is cancelled.
///
/// Looks at once and then every [`NodeSettings::rescan`]. A machine that cannot be read, a kubelet
/// or devices that are not there yet are waited for and said once.
///
/// # Errors
///
/// [`NodeError`] when a resource cannot be offered at all, for example because the path of its
/// socket would be too long.
pub async fn run(settings: NodeSettings, stop: CancellationToken) -> Result<(), NodeError> {
    let mut owner = Owner::new(&settings);
    let mut timer = interval(settings.rescan);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let served = loop {
        tokio::select! {
            () = stop.cancelled() => break Ok(()),
            _ = timer.tick() => {}
        }
        if let Err(error) = owner.turn() {
            break Err(error);
        }
    };
    owner.supervisor.shutdown(GRACE).await;
    served
}

/// The one that changes the state.
struct Owner {
    looker: Looker,
    journal: Journal,
    /// What the last look failed with, so that it is said once.
    blind: Option<String>,
    publish: watch::Sender<Arc<NodeState>>,
    pools: BTreeMap<PoolName, watch::Sender<Arc<DeviceSet>>>,
    supervisor: Supervisor,
    recheck: Arc<Recheck>,
    policy: AllocationPolicy,
}

impl Owner {
    fn new(settings: &NodeSettings) -> Self {
        Self {
            looker: Looker::new(&settings.roots, settings.rules()),
            journal: Journal::default(),
            blind: None,
            publish: watch::Sender::new(Arc::default()),
            pools: BTreeMap::new(),
            supervisor: Supervisor::new(settings.roots.kubelet.clone()),
            recheck: Arc::new(Recheck::new(settings)),
            policy: settings.policy,
        }
    }

    /// Looks, judges, publishes.
    fn turn(&mut self) -> Result<(), NodeError> {
        let before = Arc::clone(&self.publish.borrow());
        let look = match self.looker.look(&before.advertised()) {
            Ok(look) => look,
            Err(error) => {
                self.be_blind(chain(&error));
                return Ok(());
            }
        };
        if self.blind.take().is_some() {
            info!("the PCI bus can be read again");
        }
        debug!(file_system_calls = look.calls, "looked");
        let after = judge(&before, &look);
        self.journal.write(facts(&look, &after));
        if after != *before {
            self.publish.send_replace(Arc::new(after.clone()));
        }
        self.update_pools(&after)
    }

    /// Keeps what is advertised: nothing is known, so nothing is taken back.
    fn be_blind(&mut self, why: String) {
        if self.blind.as_ref() != Some(&why) {
            warn!("{why}; what was advertised stays until it can be read again");
            self.blind = Some(why);
        }
    }

    fn update_pools(&mut self, state: &NodeState) -> Result<(), NodeError> {
        for pool in state.pools.keys() {
            let devices = state
                .device_set(pool)
                .map_err(|source| NodeError::Devices {
                    pool: pool.clone(),
                    source,
                })?;
            match self.pools.get(pool) {
                Some(sender) => {
                    sender.send_if_modified(|now| {
                        let changed = **now != devices;
                        if changed {
                            *now = Arc::new(devices);
                        }
                        changed
                    });
                }
                None => self.open_pool(pool.clone(), devices)?,
            }
        }
        Ok(())
    }

    fn open_pool(&mut self, pool: PoolName, devices: DeviceSet) -> Result<(), NodeError> {
        let resource = resource_name(&pool).map_err(|source| NodeError::Name {
            pool: pool.clone(),
            source,
        })?;
        let (sender, receiver) = watch::channel(Arc::new(devices));
        let backend = PoolBackend {
            resource: resource.clone(),
            pool: pool.clone(),
            policy: self.policy,
            recheck: Arc::clone(&self.recheck),
            state: self.publish.subscribe(),
            devices: receiver,
        };
        self.pools.insert(pool, sender);
        self.supervisor
            .offer(resource.clone(), Arc::new(backend))
            .map_err(|source| NodeError::Offer { resource, source })
    }
}
