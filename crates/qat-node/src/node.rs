//! The owner of the state: looks, judges, publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use device_plugin::pods::Pods;
use device_plugin::{DeviceSet, ResourceName, Supervisor};
use passthrough::clash;
use qat_policy::health::HealthRules;
use qat_policy::{AllocationPolicy, Family, PoolName, PoolNames, Rules, VfDrivers};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::binding::{Keeper, KeeperSettings, Report};
use crate::hints::{Debounce, Expect, Hints, News, Pace, Scope};
use crate::journal::{Journal, facts};
use crate::judge::doubtful;
use crate::metrics::BEAT;
use crate::pools::PoolConfig;
use crate::text::chain;
use crate::{
    CdiFiles, Given, HandedOut, Ledger, Looker, Metrics, NodeState, PoolBackend, Pulse, Recheck,
    Roots, judge, resource_name,
};

/// How long open streams and calls may take to end after a stop.
const GRACE: Duration = Duration::from_secs(5);

/// How often to ask who holds what when nothing waits for the answer. Another plugin may have given a
/// VF to a pod.
const ASK_AGAIN: Duration = Duration::from_mins(1);

/// How long after a change to look often.
const SETTLING: Duration = Duration::from_secs(15);

/// What to offer, from where, to whom.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Where the machine is.
    pub roots: Roots,
    /// The families whose VFs are offered.
    pub families: BTreeSet<Family>,
    /// The drivers of which a VF must have one, and so how it reaches a container.
    pub drivers: VfDrivers,
    /// How resources are called.
    pub names: PoolNames,
    /// How VFs reach containers, pool by pool.
    pub pools: Arc<PoolConfig>,
    /// At most so many VFs are offered.
    pub cap: Option<NonZeroUsize>,
    /// Which free VFs a pod gets first.
    pub policy: AllocationPolicy,
    /// How often to look without a hint.
    pub pace: Pace,
    /// What is counted, and whether all is well.
    pub metrics: Arc<Metrics>,
    /// Where locks and records are. It need not exist.
    pub state_dir: PathBuf,
    /// What it takes to keep VFs bound; `None`: nothing is bound.
    pub binding: Option<KeeperSettings>,
}

impl NodeSettings {
    /// The rules by which VFs are offered or withheld.
    pub fn rules(&self) -> Rules {
        Rules {
            families: self.families.clone(),
            names: self.names.clone(),
            drivers: self.drivers.clone(),
            cap: self.cap,
        }
    }
}

/// Serves a node until `stop` is cancelled.
///
/// Looks at once, when there is a hint that something happened ([`Hints`]), and now and then without one
/// ([`NodeSettings::pace`]). A machine that cannot be read, a kubelet
/// or devices that are not there yet are waited for and said once. Nothing that the machine shows
/// ends this: a pool that cannot be offered is said once and left out.
///
/// The first list waits for the answer to who holds what, two seconds at the longest.
///
/// VFs that are not bound are bound meanwhile, if [`NodeSettings::binding`] is given.
pub async fn run(settings: NodeSettings, stop: CancellationToken) {
    let (mut owner, mut inbox) = Owner::new(&settings);
    while let Some(event) = stop
        .run_until_cancelled(inbox.next(owner.pulse.due()))
        .await
    {
        settings.metrics.beat();
        match event {
            Event::Idle => {}
            Event::HandedOut(given) => owner.ledger.answered(&given.pool, &given.vfs, given.at),
            Event::Bound(report) => {
                if let Some(keeper) = &mut owner.keeper {
                    keeper.note(report, Instant::now());
                }
                owner.turn(&Scope::everything()).await;
            }
            Event::Pulse => {
                if owner.pulse.take(Instant::now()) {
                    owner.turn(&Scope::default()).await;
                }
            }
            Event::Due => {
                let News {
                    mut scope,
                    recoveries,
                } = inbox.hints.take();
                if inbox.next_look <= Instant::now() {
                    scope = Scope::everything();
                }
                for (function, recovery) in recoveries {
                    owner.pulse.recovers(function, recovery, Instant::now());
                }
                stop.run_until_cancelled(owner.ask()).await;
                owner.turn(&scope).await;
                let expect = Expect {
                    hearing: inbox.hints.hears_the_kernel(),
                    ..owner.expect()
                };
                let now = Instant::now();
                let pause = now + settings.pace.pause(expect);
                let farewell = owner.publish.borrow().farewell(now);
                let next = farewell.map_or(pause, |at| pause.min(at));
                // A look at a part is no reason to put off the next at everything.
                inbox.looked(if scope.is_everything() {
                    next
                } else {
                    next.min(inbox.next_look)
                });
            }
        }
    }
    owner.supervisor.shutdown(GRACE).await;
}

/// What the owner has to react to.
enum Event {
    /// VFs were handed out.
    HandedOut(HandedOut),
    /// VFs were bound, or could not be.
    Bound(Report),
    /// Nothing happened for a while.
    Idle,
    /// It is time to check a PF.
    Pulse,
    /// It is time to look.
    Due,
}

/// Where events come from. The owner has a sender of each channel itself, so that none ever ends.
struct Inbox {
    handed_out: mpsc::UnboundedReceiver<HandedOut>,
    reports: mpsc::UnboundedReceiver<Report>,
    hints: Hints,
    debounce: Debounce,
    /// When to look without a hint.
    next_look: Instant,
}

impl Inbox {
    /// Waits for the next event. What was handed out comes first: the look is to know of it.
    async fn next(&mut self, pulse: Option<Instant>) -> Event {
        loop {
            let due = self.debounce.due().unwrap_or(self.next_look);
            let pulse_due = pulse.unwrap_or(self.next_look);
            tokio::select! {
                biased;
                Some(given) = self.handed_out.recv() => return Event::HandedOut(given),
                Some(report) = self.reports.recv() => return Event::Bound(report),
                () = sleep_until(due.min(self.next_look)) => return Event::Due,
                () = sleep_until(pulse_due), if pulse.is_some() => return Event::Pulse,
                () = sleep(BEAT) => return Event::Idle,
                () = self.hints.next() => self.debounce.hint(Instant::now()),
            }
        }
    }

    /// Takes note of a look, after which the next is at the latest `next`.
    fn looked(&mut self, next: Instant) {
        self.debounce.looked();
        self.next_look = next;
    }
}

/// The one that changes the state.
struct Owner {
    looker: Looker,
    pulse: Pulse,
    journal: Journal,
    /// What the last look failed with, so that it is said once.
    blind: Option<String>,
    /// When a look last found something else than the one before. What follows a change may come without a hint.
    stirred: Instant,
    publish: watch::Sender<Arc<NodeState>>,
    /// Where each pool's devices are published; none if the pool cannot be offered.
    pools: BTreeMap<PoolName, Option<watch::Sender<Arc<DeviceSet>>>>,
    supervisor: Supervisor,
    recheck: Arc<Recheck>,
    config: Arc<PoolConfig>,
    cdi: CdiFiles,
    metrics: Arc<Metrics>,
    policy: AllocationPolicy,
    pods: Pods,
    ledger: Ledger,
    handed_out: mpsc::UnboundedSender<HandedOut>,
    keeper: Option<Keeper>,
    /// Keeps the channel of reports open where there is no keeper.
    _reports: mpsc::UnboundedSender<Report>,
}

impl Owner {
    fn new(settings: &NodeSettings) -> (Self, Inbox) {
        let roots = &settings.roots;
        let (handed_out, given) = mpsc::unbounded_channel();
        let (reports, done) = mpsc::unbounded_channel();
        let keeper = settings.binding.clone();
        let metrics = Arc::clone(&settings.metrics);
        let supervisor = Supervisor::new(roots.kubelet.clone()).observed_by(metrics);
        settings.metrics.watch(supervisor.states());
        let owner = Self {
            looker: Looker::new(roots, settings.rules()),
            pulse: Pulse::new(roots, HealthRules::default(), &settings.state_dir),
            journal: Journal::default(),
            blind: None,
            stirred: Instant::now(),
            publish: watch::Sender::new(Arc::default()),
            pools: BTreeMap::new(),
            supervisor,
            recheck: Arc::new(Recheck::new(roots, &settings.rules())),
            config: Arc::clone(&settings.pools),
            cdi: CdiFiles::new(settings),
            metrics: Arc::clone(&settings.metrics),
            policy: settings.policy,
            pods: roots.pods(),
            ledger: Ledger::default(),
            handed_out,
            keeper: keeper.map(|settings| Keeper::new(settings, reports.clone())),
            _reports: reports,
        };
        let inbox = Inbox {
            handed_out: given,
            reports: done,
            hints: Hints::new(roots),
            debounce: Debounce::default(),
            next_look: Instant::now(),
        };
        (owner, inbox)
    }

    /// What may come without a hint.
    fn expect(&self) -> Expect {
        let binds = self.keeper.as_ref().is_some_and(Keeper::waits);
        let pods = self.publish.borrow().waits_for_pods();
        Expect {
            waiting: binds || pods || self.blind.is_some(),
            stirred: self.stirred.elapsed() < SETTLING,
            hearing: false,
        }
    }

    /// Asks who holds what: at first, when a decision waits for it, and now and then.
    async fn ask(&mut self) {
        let due = self
            .ledger
            .view()
            .is_none_or(|view| view.asked.elapsed() >= ASK_AGAIN);
        if due || self.publish.borrow().waits_for_pods() {
            self.ledger.learn(self.pods.view().await);
        }
    }

    /// Looks, judges, publishes.
    async fn turn(&mut self, scope: &Scope) {
        let before = Arc::clone(&self.publish.borrow());
        let began = Instant::now();
        let sick = self.pulse.sick();
        self.looker.tell(sick.clone());
        let look = match self.looker.look_at(scope, &before.advertised()) {
            Ok(look) => look,
            Err(error) => {
                self.be_blind(chain(&error));
                return;
            }
        };
        if self.blind.take().is_some() {
            info!("the PCI bus can be read again");
        }
        debug!(
            file_system_calls = look.calls,
            partial = look.partial,
            "looked"
        );
        self.metrics.looked(&look, &sick, began.elapsed());
        self.pulse.attend(&look.inventory, Instant::now());
        self.ledger
            .see(self.looker.open(&doubtful(&before, &look, &self.ledger)));
        let after = judge(&before, &look, &self.ledger, Instant::now());
        let mut facts = facts(&look, &after, &self.ledger);
        // Before the kubelet hears of a VF: a pod may follow at once.
        facts.extend(self.cdi.tend(&look.inventory, &after));
        self.journal.write(facts);
        if after != *before {
            self.stirred = Instant::now();
            self.publish.send_replace(Arc::new(after.clone()));
        }
        self.update_pools(&after).await;
        if let Some(keeper) = &mut self.keeper {
            keeper.tend(&look.inventory, &self.ledger, Instant::now());
        }
    }

    /// Keeps what is advertised: nothing is known, so nothing is taken back.
    fn be_blind(&mut self, why: String) {
        if self.blind.as_ref() != Some(&why) {
            warn!("{why}; what was advertised stays until it can be read again");
            self.blind = Some(why);
        }
    }

    async fn update_pools(&mut self, state: &NodeState) {
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
            let devices = Arc::new(state.device_set(pool));
            match self.pools.get(pool) {
                None => {
                    let sender = self.open_pool(pool, devices);
                    self.pools.insert(pool.clone(), sender);
                }
                Some(Some(sender)) if *sender.borrow() != devices => {
                    sender.send_replace(devices);
                }
                Some(_) => {}
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
    fn open_pool(
        &mut self,
        pool: &PoolName,
        devices: Arc<DeviceSet>,
    ) -> Option<watch::Sender<Arc<DeviceSet>>> {
        let (sender, receiver) = watch::channel(devices);
        let offered = self.resource(pool).and_then(|resource| {
            let backend = PoolBackend {
                resource: resource.clone(),
                pool: pool.clone(),
                settings: self.config.of(pool),
                policy: self.policy,
                recheck: Arc::clone(&self.recheck),
                described: self.cdi.described(),
                given: Given::default(),
                state: self.publish.subscribe(),
                devices: receiver,
                handed_out: self.handed_out.clone(),
            };
            let offered = self.supervisor.offer(resource, Arc::new(backend));
            offered.map_err(|error| chain(&error))
        });
        match offered {
            Ok(()) => Some(sender),
            Err(why) => {
                error!("pool {pool} cannot be offered: {why}");
                None
            }
        }
    }
}
