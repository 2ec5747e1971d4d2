//! What a node is served with, and the events of its life.

use std::path::PathBuf;
use std::sync::Arc;

use qat_policy::Rules;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::binding::{KeeperSettings, Report};
use crate::hints::{Debounce, Expect, Hints, News, Pace, Scope};
use crate::metrics::BEAT;
use crate::owner::Owner;
use crate::{CallEvent, HandedOut, Metrics, Rejection, Roots, Wishes};

/// What to offer, from where, to whom.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Where the machine is.
    pub roots: Roots,
    /// What may change while the node is served. Who drops the sender wishes for nothing else.
    pub wishes: watch::Receiver<Arc<Wishes>>,
    /// How often to look without a hint.
    pub pace: Pace,
    /// What is counted, and whether all is well.
    pub metrics: Arc<Metrics>,
    /// Where locks and records are. It need not exist.
    pub state_dir: PathBuf,
    /// What it takes to keep VFs bound; `None`: nothing is bound.
    pub binding: Option<KeeperSettings>,
    /// Where labels for Node Feature Discovery are written, if anywhere.
    pub labels: Option<PathBuf>,
}

impl NodeSettings {
    /// The rules by which VFs are offered or withheld now.
    pub fn rules(&self) -> Rules {
        self.wishes.borrow().rules.clone()
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
    let (call, calls) = mpsc::unbounded_channel();
    let (report, reports) = mpsc::unbounded_channel();
    let mut wishes = settings.wishes.clone();
    wishes.mark_unchanged();
    let mut owner = Owner::new(&settings, call, report);
    let mut inbox = Inbox {
        calls,
        reports,
        wishes: Some(wishes),
        hints: Hints::new(&settings.roots),
        debounce: Debounce::default(),
        next_look: Instant::now(),
    };
    while let Some(event) = stop
        .run_until_cancelled(inbox.next(&owner.deadlines()))
        .await
    {
        settings.metrics.beat();
        match event {
            Event::Idle => continue,
            Event::HandedOut(given) => owner.ledger.answered(&given.pool, &given.vfs, given.at),
            Event::Rejected(rejection, listed) => {
                let scope = owner.rejections.record(rejection, Instant::now());
                owner.turn(&scope).await;
                // The call may have ended meanwhile.
                let _waits = listed.send(());
            }
            Event::Recheck => {
                let scope = owner.recheck_rejected(Instant::now());
                owner.turn(&scope).await;
            }
            Event::Bound(report) => {
                owner.bound(report);
                owner.turn(&Scope::everything()).await;
            }
            Event::Wishes(wishes) => {
                owner.follow(&wishes);
                // Whether pods hold what now belongs elsewhere is asked as usual.
                stop.run_until_cancelled(owner.ask()).await;
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
                owner.rejections.hint(&scope, Instant::now());
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
        let expect = owner.expect();
        if expect.waiting {
            let soon = Instant::now() + settings.pace.pause(expect);
            inbox.next_look = inbox.next_look.min(soon);
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
    /// A call of the kubelet was rejected; it waits for the device list.
    Rejected(Rejection, oneshot::Sender<()>),
    /// It is time to re-check a VF that a call was rejected for.
    Recheck,
    /// VFs were bound, or could not be.
    Bound(Report),
    /// The operator wishes for something else.
    Wishes(Arc<Wishes>),
    /// Nothing happened for a while.
    Idle,
    /// It is time to check a PF.
    Pulse,
    /// It is time to see which VFs are open that nobody holds.
    Survey,
    /// It is time to look.
    Due,
}

/// When the owner wants to act without an event.
pub(crate) struct Deadlines {
    /// The next check of a PF.
    pub(crate) pulse: Option<Instant>,
    /// The next re-check of a rejected VF.
    pub(crate) recheck: Option<Instant>,
    /// The next check for leaked VFs.
    pub(crate) survey: Instant,
}

/// Where events come from. The owner has a sender of each channel itself, so that none ever ends.
struct Inbox {
    calls: mpsc::UnboundedReceiver<CallEvent>,
    reports: mpsc::UnboundedReceiver<Report>,
    /// None when nobody can change them any more.
    wishes: Option<watch::Receiver<Arc<Wishes>>>,
    hints: Hints,
    debounce: Debounce,
    /// When to look without a hint.
    next_look: Instant,
}

impl Inbox {
    /// Waits for the next event. What was handed out comes first: the look is to know of it.
    async fn next(&mut self, deadlines: &Deadlines) -> Event {
        let Deadlines {
            pulse,
            recheck,
            survey,
        } = *deadlines;
        loop {
            let due = self.debounce.due().unwrap_or(self.next_look);
            let pulse_due = pulse.unwrap_or(self.next_look);
            let recheck_due = recheck.unwrap_or(self.next_look);
            tokio::select! {
                biased;
                Some(call) = self.calls.recv() => return match call {
                    CallEvent::Allocated(given) => Event::HandedOut(given),
                    CallEvent::Rejected(rejection, listed) => Event::Rejected(rejection, listed),
                },
                Some(report) = self.reports.recv() => return Event::Bound(report),
                changed = changed(&mut self.wishes), if self.wishes.is_some() => match changed {
                    Some(wishes) => return Event::Wishes(wishes),
                    None => self.wishes = None,
                },
                () = sleep_until(due.min(self.next_look)) => return Event::Due,
                () = sleep_until(pulse_due), if pulse.is_some() => return Event::Pulse,
                () = sleep_until(recheck_due), if recheck.is_some() => return Event::Recheck,
                () = sleep_until(survey) => return Event::Survey,
                () = sleep(BEAT) => return Event::Idle,
                () = self.hints.next() => self.debounce.hint(Instant::now()),
            }
        }
    }
}

/// New wishes; none when nobody can have any.
async fn changed(wishes: &mut Option<watch::Receiver<Arc<Wishes>>>) -> Option<Arc<Wishes>> {
    let wishes = wishes.as_mut()?;
    wishes.changed().await.ok()?;
    Some(Arc::clone(&wishes.borrow_and_update()))
}
