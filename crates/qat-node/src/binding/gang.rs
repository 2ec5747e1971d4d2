//! Some workers that bind the VFs of one PF.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sysfs_pci::PciAddress;
use vfio_host::bind::{
    BindError, BindPlan, BindRefusal, BindRules, Binder, Claim, HostFacts, Outcome,
};
use vfio_host::worker::{Abandoned, HandsError, Worker, WorkerCommand};
use vfio_host::{DeviceLock, Host, HostError, StateDir};

/// How many VFs of a PF are bound at a time. The kernel does most of the work under locks of its own, so
/// that more would wait for each other.
pub const LANES: usize = 4;

/// How long the node of a VF that was bound is waited for.
const NODE: Duration = Duration::from_secs(5);

/// What it takes to change a machine.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The machine.
    pub host: Host,
    /// The directory for records and locks. The one that it is in must be there.
    pub state_dir: PathBuf,
    /// How to start a process for commands that may block.
    pub workers: WorkerCommand,
}

/// Binds the VFs of one PF.
#[derive(Clone, Copy, Debug)]
pub struct Gang<'a> {
    /// What it takes.
    pub tools: &'a Tools,
    /// What may be bound to what.
    pub rules: &'a BindRules,
    /// Where records are.
    pub state: &'a StateDir,
    /// The lock of the PF.
    pub lock: &'a DeviceLock,
}

/// What became of some VFs.
#[derive(Debug, Default)]
pub struct Work {
    /// Each VF, in no order.
    pub results: Vec<(PciAddress, Result<Outcome, Reason>)>,
    /// Workers that are stuck in the kernel.
    pub abandoned: Vec<Abandoned>,
}

/// Why a VF was not bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It cannot be looked at.
    #[error(transparent)]
    Look(#[from] HostError),
    /// It must not be bound. Nothing was changed.
    #[error(transparent)]
    Refused(#[from] BindRefusal),
    /// It could not be bound.
    #[error(transparent)]
    Failed(#[from] Box<BindError>),
    /// There is no process that could do it.
    #[error(transparent)]
    NoWorker(#[from] HandsError),
}

/// One of the workers' threads, with what it shares.
struct Lane<'a> {
    gang: Gang<'a>,
    host: HostFacts,
    queue: &'a Mutex<VecDeque<(PciAddress, Claim)>>,
    worker: Option<Worker>,
}

// === impl Reason ===

impl Reason {
    /// Whether the VF, or its group, is not there any more.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Look(error) => error.is_gone(),
            Self::Failed(error) => error.is_gone(),
            _ => false,
        }
    }

    /// Whether a process that has it open is why.
    pub fn is_open(&self) -> bool {
        let refused = matches!(
            self,
            Self::Refused(BindRefusal::Open | BindRefusal::Unbinding)
        );
        refused || self.is_stuck()
    }

    /// Whether a command of ours is in the kernel and does not return.
    pub fn is_stuck(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_stuck())
    }
}

// === impl Gang ===

impl Gang<'_> {
    /// Binds VFs. `done` is called for each as it is done.
    ///
    /// A VF whose unbind gets stuck is left behind with its process, and the others go on.
    pub fn bind(
        &self,
        vfs: Vec<(PciAddress, Claim)>,
        done: &(dyn Fn(PciAddress, &Result<Outcome, Reason>) + Sync),
    ) -> Work {
        let lanes = LANES.min(vfs.len());
        let queue = Mutex::new(VecDeque::from(vfs));
        let host = self.tools.host.facts(&self.rules.driver);
        let work = Mutex::new(Work::default());
        thread::scope(|scope| {
            for _ in 0..lanes {
                scope.spawn(|| {
                    let mut lane = Lane {
                        gang: *self,
                        host,
                        queue: &queue,
                        worker: None,
                    };
                    while let Some((vf, result, abandoned)) = lane.next() {
                        done(vf, &result);
                        let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
                        work.results.push((vf, result));
                        work.abandoned.extend(abandoned);
                    }
                });
            }
        });
        work.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane<'_> {
    fn next(&mut self) -> Option<(PciAddress, Result<Outcome, Reason>, Option<Abandoned>)> {
        let (vf, claim) = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.pop_front()?
        };
        let result = self.bind(vf, &claim);
        // A worker without an answer has no further ones.
        let ended = matches!(&result, Err(Reason::Failed(_)));
        let abandoned = self.worker.take_if(|_| ended).and_then(Worker::abandon);
        Some((vf, result, abandoned))
    }

    fn bind(&mut self, vf: PciAddress, claim: &Claim) -> Result<Outcome, Reason> {
        let Gang {
            tools,
            rules,
            state,
            lock,
        } = self.gang;
        let plan = BindPlan::new(&tools.host.look(vf)?, self.host, rules, claim)?;
        let worker = match &mut self.worker {
            Some(worker) => worker,
            none => none.insert(tools.workers.start(lock)?),
        };
        let binder = Binder {
            host: &tools.host,
            state,
            patience: NODE,
        };
        binder
            .bind(worker, &plan)
            .map_err(|error| Reason::Failed(Box::new(error)))
    }
}
