//! What a node is served with, and the events of its life.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use qat_policy::health::HealthRules;
use qat_policy::{AllocationPolicy, Family, PoolNames, Rules, VfDrivers};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::binding::{KeeperSettings, Report};
use crate::hints::{Debounce, Expect, Hints, News, Pace, Scope};
use crate::metrics::BEAT;
use crate::owner::Owner;
use crate::pools::PoolConfig;
use crate::{Calm, HandedOut, Metrics, Roots};

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
    /// When a PF is checked, and when it is well again.
    pub health: HealthRules,
    /// How often a VF may come and go.
    pub calm: Calm,
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
/// VFs that are not bound are bound meanwhile, if [`NodeSettings::binding`] is given. What an earlier process knew of this
/// boot is read from [`NodeSettings::state_dir`], and what this one knows is written there ([`memory`](crate::memory)).
pub async fn run(settings: NodeSettings, stop: CancellationToken) {
    let (handed_out, given) = mpsc::unbounded_channel();
    let (report, reports) = mpsc::unbounded_channel();
    let mut owner = Owner::new(&settings, handed_out, report);
    let mut inbox = Inbox {
        handed_out: given,
        reports,
        hints: Hints::new(&settings.roots),
        debounce: Debounce::default(),
        next_look: Instant::now(),
    };
    while let Some(event) = stop
        .run_until_cancelled(inbox.next(owner.pulse.due(), owner.leaks.due()))
        .await
    {
        settings.metrics.beat();
        match event {
            Event::Idle => continue,
            Event::HandedOut(given) => owner.ledger.answered(&given.pool, &given.vfs, given.at),
            Event::Bound(report) => {
                owner.bound(report);
                owner.turn(&Scope::everything()).await;
            }
            Event::Pulse => {
                if owner.pulse.take(Instant::now()) {
                    owner.turn(&Scope::default()).await;
                }
            }
            Event::Survey => {
                stop.run_until_cancelled(owner.ask_now()).await;
                if owner.survey() {
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
                inbox.debounce.looked();
                // A look at a part is no reason to put off the next at everything.
                if scope.is_everything() {
                    let expect = Expect {
                        hearing: inbox.hints.hears_the_kernel(),
                        ..owner.expect()
                    };
                    inbox.next_look = Instant::now() + settings.pace.pause(expect);
                }
            }
        }
        if let Some(due) = owner.due() {
            inbox.next_look = inbox.next_look.min(due);
        }
        settings.metrics.heard(&inbox.hints);
        settings.metrics.checked(&owner.pulse);
        owner.remember(inbox.hints.hears_the_kernel());
    }
    owner.end().await;
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
    /// It is time to see which VFs are open that nobody holds.
    Survey,
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
    async fn next(&mut self, pulse: Option<Instant>, survey: Instant) -> Event {
        loop {
            let due = self.debounce.due().unwrap_or(self.next_look);
            let pulse_due = pulse.unwrap_or(self.next_look);
            tokio::select! {
                biased;
                Some(given) = self.handed_out.recv() => return Event::HandedOut(given),
                Some(report) = self.reports.recv() => return Event::Bound(report),
                () = sleep_until(due.min(self.next_look)) => return Event::Due,
                () = sleep_until(pulse_due), if pulse.is_some() => return Event::Pulse,
                () = sleep_until(survey) => return Event::Survey,
                () = sleep(BEAT) => return Event::Idle,
                () = self.hints.next() => self.debounce.hint(Instant::now()),
            }
        }
    }
}
