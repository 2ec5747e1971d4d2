//! The owner of the state.

mod pools;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use device_plugin::Supervisor;
use device_plugin::pods::Pods;
use qat_policy::PoolName;
use qat_policy::health::PfHealth;
use sysfs_pci::PciAddress;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{Span, debug, info, instrument, warn};

use self::pools::OpenPool;
use crate::binding::{Keeper, Report};
use crate::hints::{Expect, Scope};
use crate::journal::{Fact, Journal, Weight, facts};
use crate::judge::{doubtful, overlay};
use crate::labels::Labels;
use crate::leaks::Leaks;
use crate::memory::{AnswerMemory, Clock, LeakMemory, Memory, PfMemory, Scribe, VfMemory, adopt};
use crate::node::Deadlines;
use crate::pools::PoolConfig;
use crate::rejections::Rejections;
use crate::selected::remarks;
use crate::text::chain;
use crate::{
    CallEvent, Calm, CdiFiles, Given, Known, Ledger, Look, Looker, Metrics, NodeSettings,
    NodeState, Pulse, Recheck, Roots, Terms, Wishes, judge,
};

/// How long open streams and calls may take to end after a stop.
const GRACE: Duration = Duration::from_secs(5);

/// How often to ask who holds what when nothing waits for the answer. Another plugin may have given a
/// VF to a pod.
const ASK_AGAIN: Duration = Duration::from_mins(1);

/// The kubelet is asked no more often than this.
const ASK_LIMIT: Duration = Duration::from_secs(1);

/// How long after a change to look often.
const SETTLING: Duration = Duration::from_secs(15);

/// The one that changes the state: looks, judges, publishes.
pub(crate) struct Owner {
    pub(crate) pulse: Pulse,
    pub(crate) ledger: Ledger,
    pub(crate) leaks: Leaks,
    pub(crate) rejections: Rejections,
    looker: Looker,
    journal: Journal,
    /// What the last look failed with, so that it is said once.
    blind: Option<String>,
    /// When a look last found something else than the one before. What follows a change may come without a hint.
    stirred: Instant,
    calm: Calm,
    /// What holds.
    wishes: Arc<Wishes>,
    publish: watch::Sender<Arc<NodeState>>,
    /// What an earlier process knew, until the first look.
    resumed: Option<Memory>,
    /// Whether the first scan is done.
    scanned: bool,
    scribe: Scribe,
    /// VFs that left one pool and enter another at the next scan.
    entering: BTreeSet<PciAddress>,
    clock: Clock,
    /// The pools that are offered; none if one cannot be.
    pools: BTreeMap<PoolName, Option<OpenPool>>,
    supervisor: Supervisor,
    recheck: Arc<Recheck>,
    config: Arc<PoolConfig>,
    cdi: CdiFiles,
    labels: Labels,
    given: Arc<Given>,
    metrics: Arc<Metrics>,
    roots: Roots,
    pods: Pods,
    calls: mpsc::UnboundedSender<CallEvent>,
    keeper: Option<Keeper>,
    /// Keeps the channel of reports open where there is no keeper.
    _reports: mpsc::UnboundedSender<Report>,
}

impl Owner {
    /// Creates an owner before its first scan, with the state that an earlier process has saved. `calls` and `reports` carry how
    /// calls are answered and what is bound.
    pub(crate) fn new(
        settings: &NodeSettings,
        calls: mpsc::UnboundedSender<CallEvent>,
        reports: mpsc::UnboundedSender<Report>,
    ) -> Self {
        let NodeSettings {
            roots, state_dir, ..
        } = settings;
        let wishes = Arc::clone(&settings.wishes.borrow());
        let metrics = Arc::clone(&settings.metrics);
        let supervisor =
            Supervisor::new(roots.kubelet.clone()).observed_by(Arc::<Metrics>::clone(&metrics));
        metrics.watch(supervisor.states());
        let keeper = settings.binding.clone();
        let now = Instant::now();
        let mut owner = Self {
            looker: Looker::new(roots, wishes.rules.clone()),
            pulse: Pulse::new(roots, wishes.health, state_dir),
            ledger: Ledger::default(),
            leaks: Leaks::new(now),
            rejections: Rejections::default(),
            journal: Journal::default(),
            blind: None,
            stirred: now,
            calm: wishes.calm,
            publish: watch::Sender::new(Arc::default()),
            resumed: None,
            scanned: false,
            scribe: Scribe::new(state_dir.clone()),
            entering: BTreeSet::new(),
            clock: Clock::now(),
            pools: BTreeMap::new(),
            supervisor,
            recheck: Arc::new(Recheck::new(roots, &wishes.rules)),
            config: Arc::clone(&wishes.pools),
            cdi: CdiFiles::new(settings),
            labels: Labels::new(settings.labels.clone()),
            given: Arc::default(),
            metrics,
            roots: roots.clone(),
            wishes,
            pods: roots.pods(),
            calls,
            keeper: keeper.map(|settings| Keeper::new(settings, reports.clone())),
            _reports: reports,
        };
        owner.resume(state_dir);
        owner
    }

    /// Takes over what an earlier process of this boot has written down.
    fn resume(&mut self, state_dir: &Path) {
        let mut memory = match Memory::read(state_dir) {
            Ok(Some(memory)) if memory.is_of_this_boot() => memory,
            Ok(_) => return,
            Err(error) => {
                warn!(
                    "{}; what was advertised before this start is not known",
                    chain(&error)
                );
                return;
            }
        };
        let now = Instant::now();
        for (pf, memory) in mem::take(&mut memory.pfs) {
            let since = self.clock.instant(memory.since).unwrap_or(now);
            let health = PfHealth::resumed(memory.sick, memory.vitals);
            self.pulse.resume(pf, health, since);
        }
        for (vf, AnswerMemory { pool, at }) in mem::take(&mut memory.answers) {
            let at = self.clock.instant(at).unwrap_or(now);
            self.ledger.answered(&pool, &[vf], at);
        }
        self.given.resume(mem::take(&mut memory.given));
        debug!(written = memory.written, "an earlier process is continued");
        self.resumed = Some(memory);
    }

    /// Has what is known written down.
    pub(crate) fn remember(&self, hearing: bool) {
        // Before the first look nothing is known, and what an earlier process has written is better.
        if self.resumed.is_some() || self.blind.is_some() {
            return;
        }
        let clock = self.clock;
        let state = Arc::clone(&self.publish.borrow());
        let pools = state.pools.iter().map(|(pool, vfs)| {
            let vfs = vfs.iter().filter(|(_, advertised)| !advertised.moved);
            let vfs = vfs.map(|(vf, advertised)| (*vf, VfMemory::of(advertised, clock)));
            (pool.clone(), vfs.collect())
        });
        let pfs = self.pulse.pfs().map(|(pf, health, since)| {
            let memory = PfMemory {
                sick: health.sick(),
                since: clock.unix(since),
                refused: health.refused(),
                vitals: health.vitals().clone(),
            };
            (pf, memory)
        });
        let answers = self.ledger.answers().map(|(vf, pool, at)| {
            let (pool, at) = (pool.clone(), clock.unix(at));
            (vf, AnswerMemory { pool, at })
        });
        let leaks = self.leaks.found().iter();
        let memory = Memory {
            hearing,
            config: self.wishes.file.clone(),
            pools: pools.collect(),
            entering: self.entering.clone(),
            pfs: pfs.collect(),
            answers: answers.collect(),
            given: self.given.of(&state.advertised()),
            leaks: leaks
                .map(|(vf, leak)| (*vf, LeakMemory::of(leak, clock)))
                .collect(),
            ..Memory::default()
        };
        self.scribe.remember(memory, clock.unix(Instant::now()));
    }

    /// Takes new wishes. A look has to follow, which moves the VFs that belong to another pool now.
    pub(crate) fn follow(&mut self, wishes: &Arc<Wishes>) {
        let wishes = Wishes::clone(wishes).keeping(&self.wishes);
        self.looker.follow(wishes.rules.clone());
        self.pulse.follow(wishes.health);
        self.cdi.follow(Arc::clone(&wishes.pools));
        self.calm = wishes.calm;
        self.recheck = Arc::new(Recheck::new(&self.roots, &wishes.rules));
        self.config = Arc::clone(&wishes.pools);
        for (pool, open) in &self.pools {
            if let Some(open) = open {
                open.terms.send_replace(self.terms(pool));
            }
        }
        self.wishes = Arc::new(wishes);
    }

    /// On what terms the VFs of a pool are given.
    fn terms(&self, pool: &PoolName) -> Terms {
        Terms {
            settings: self.config.of(pool),
            recheck: Arc::clone(&self.recheck),
        }
    }

    /// Ends streams and calls, and writes down what is known.
    pub(crate) async fn end(self) {
        self.supervisor.shutdown(GRACE).await;
        self.scribe.end().await;
    }

    /// Takes note of VFs that were bound, or could not be.
    pub(crate) fn bound(&mut self, report: Report) {
        if let Some(keeper) = &mut self.keeper {
            keeper.note(report, Instant::now());
        }
    }

    /// When to act without an event.
    pub(crate) fn deadlines(&self) -> Deadlines {
        Deadlines {
            pulse: self.pulse.due(),
            recheck: self.rejections.due(),
            survey: self.leaks.due(),
        }
    }

    /// Re-checks the rejected VFs that are due, and returns those that passed: a scan has to see them too. One that a pod
    /// has may be open.
    pub(crate) fn recheck_rejected(&mut self, now: Instant) -> Scope {
        let mut passed = Scope::default();
        for (vf, pool) in self.rejections.overdue(now) {
            let interface = self.config.of(&pool).interface;
            let result = if self.ledger.is_held(vf) {
                let given = self.given.interface(vf);
                self.recheck.held(vf, given.unwrap_or(interface))
            } else {
                let known = Known::of(&self.publish.borrow(), &pool, vf);
                self.recheck.vf(vf, &pool, &known, interface)
            };
            if result.is_ok() {
                passed.add(Scope::function(vf));
            }
            self.rejections.rechecked(vf, result.map(drop), now);
        }
        passed
    }

    /// When time alone changes a verdict, or to ask whether a pod has the VFs that want to be in another pool.
    pub(crate) fn due(&self) -> Option<Instant> {
        let state = self.publish.borrow();
        let now = Instant::now();
        let asked = self.ledger.view().map(|view| view.asked);
        let unasked = |since| asked.is_none_or(|asked| asked < since);
        let ask = state
            .moving()
            .filter(|since| unasked(*since))
            .map(|_| asked.map_or(now, |asked| asked + ASK_LIMIT).max(now));
        [state.due(now), ask].into_iter().flatten().min()
    }

    /// Sees which VFs are open that nobody holds, and returns whether that has changed.
    pub(crate) fn survey(&mut self) -> bool {
        let state = Arc::clone(&self.publish.borrow());
        let looker = &self.looker;
        let open = |vfs: &_| looker.open(vfs);
        let changed = self
            .leaks
            .survey(&state, &self.ledger, open, Instant::now());
        self.ledger.leaked(self.leaks.found());
        self.ledger.forget(&state.advertised());
        changed
    }

    /// What may come without a hint.
    pub(crate) fn expect(&self) -> Expect {
        let binds = self.keeper.as_ref().is_some_and(Keeper::waits);
        let pods = self.waits_for_pods();
        Expect {
            waiting: binds || pods || self.blind.is_some() || self.cdi.waits(),
            stirred: self.stirred.elapsed() < SETTLING,
            hearing: false,
        }
    }

    /// Asks who holds what: at first, when a decision waits for it, and now and then.
    pub(crate) async fn ask(&mut self) {
        let due = self
            .ledger
            .view()
            .is_none_or(|view| view.asked.elapsed() >= ASK_AGAIN);
        if due || self.waits_for_pods() {
            self.ask_now().await;
        }
    }

    /// Whether the end of a pod changes something.
    fn waits_for_pods(&self) -> bool {
        self.publish.borrow().waits_for_pods() || self.cdi.waits_for_pods()
    }

    /// Asks who holds what.
    pub(crate) async fn ask_now(&mut self) {
        self.ledger.learn(self.pods.view().await);
    }

    /// Looks, judges, publishes.
    #[instrument(name = "look", level = "debug", skip_all, fields(calls, partial))]
    pub(crate) async fn turn(&mut self, scope: &Scope) {
        let before = Arc::clone(&self.publish.borrow());
        let began = Instant::now();
        self.looker.tell(self.pulse.sick());
        let mut advertised = before.advertised();
        advertised.extend(self.resumed.iter().flat_map(Memory::advertised));
        let look = match self.looker.look_at(scope, &advertised) {
            Ok(look) => look,
            Err(error) => {
                self.be_blind(chain(&error));
                return;
            }
        };
        if self.blind.take().is_some() {
            info!("the PCI bus can be read again");
        }
        Span::current()
            .record("calls", look.calls)
            .record("partial", look.partial);
        debug!("looked");
        self.metrics.looked(&look, began.elapsed());
        self.pulse.attend(&look.inventory, Instant::now());
        let before = if self.scanned {
            before
        } else {
            self.scanned = true;
            Arc::new(self.resumed_state(&look))
        };
        self.ledger
            .see(self.looker.open(&doubtful(&before, &look, &self.ledger)));
        let now = Instant::now();
        let mut after = judge(&before, &look, &self.ledger, self.calm, now);
        self.rejections.scanned(&look, &after);
        // Before the kubelet gets the list: a pod may follow at once.
        let cdi_facts = self.cdi.tend(&look.inventory, &after, &self.ledger);
        let undescribed = self.cdi.faults(&after);
        overlay(&before, &mut after, now, |pool, vf| {
            let rejected = self.rejections.verdict(pool, vf);
            rejected.or_else(|| undescribed.get(&vf)).cloned()
        });
        let mut facts = facts(&look, &after, &self.ledger);
        facts.extend(cdi_facts);
        facts.extend(self.pulse.complaints().map(|text| Fact {
            weight: Weight::Warning,
            text,
        }));
        facts.extend(remarks(&look.inventory, self.config.selected()));
        facts.extend(self.labels.tend(&look.inventory, &after));
        self.journal.write(facts);
        if after != **self.publish.borrow() {
            self.stirred = Instant::now();
            self.publish.send_replace(Arc::new(after.clone()));
        }
        let known = after.advertised();
        let eligible = look.inventory.offered().map(|(vf, _)| vf.address);
        self.entering = eligible.filter(|vf| !known.contains(vf)).collect();
        self.metrics.judged(&after, self.leaks.found().len());
        self.metrics.described(self.cdi.missing());
        self.update_pools(&after).await;
        if let Some(keeper) = &mut self.keeper {
            keeper.tend(&look.inventory, &self.ledger, Instant::now());
        }
    }

    /// What an earlier process advertised, as of the first scan, and what pods have from it or from another plugin.
    fn resumed_state(&mut self, look: &Look) -> NodeState {
        let now = Instant::now();
        let memory = self.resumed.take();
        let mut state = memory.map_or_else(NodeState::default, |memory| {
            memory.resume(look, &self.ledger, self.clock, now)
        });
        adopt(&mut state, look, &self.ledger, now);
        state
    }

    /// Keeps what is advertised: nothing is known, so nothing is taken back.
    fn be_blind(&mut self, why: String) {
        if self.blind.as_ref() != Some(&why) {
            warn!("{why}; what was advertised stays until it can be read again");
            self.blind = Some(why);
        }
    }
}
