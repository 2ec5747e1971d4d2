//! One PF, from lock to outcome.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::time::Duration;

use qat_policy::provision::{
    Change, PfBefore, PfGoal, PfPlan, PfRefusal, PfState, PfStep, VfDriver, changes, plan,
    plan_undo,
};
use qat_policy::{Family, bind_rules};
use sysfs_pci::PciAddress;
use vfio_host::bind::{BINDS, Claim};
use vfio_host::worker::{Hands as _, HandsError, Worker};
use vfio_host::{DeviceLock, StateDir, StateError};

use super::steps::{StepError, take};
use super::{DEVICES, DeviceRecord, Event, Provisioner, SeeError, VfBefore};
use crate::binding::{Gang, Reason};
use crate::text::chain;

/// How long the lock of a PF is waited for.
pub(super) const LOCK: Duration = Duration::from_secs(5);

/// How long the node of a VF is waited for.
pub(super) const NODE: Duration = Duration::from_secs(5);

/// One PF that is worked on.
#[derive(Clone, Copy)]
pub(super) struct Device<'a> {
    pub(super) provisioner: &'a Provisioner,
    pub(super) pf: PciAddress,
    pub(super) family: Family,
    pub(super) tell: &'a (dyn Fn(Event) + Sync),
}

/// What became of a PF.
#[derive(Debug)]
pub struct PfOutcome {
    /// What was changed: today and afterwards. Empty if nothing was to be done.
    pub changes: Vec<Change>,
    /// How many steps were taken and VFs restored. None if nothing was to be done.
    pub done: usize,
    /// VFs that could not be bound or restored, and why.
    pub vfs: Vec<(PciAddress, String)>,
    /// What went wrong with the PF; `None`: it is as it was wanted.
    pub failure: Option<Failure>,
}

/// What went wrong with a PF.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It cannot be looked at. Nothing was changed.
    #[error(transparent)]
    See(#[from] SeeError),
    /// Something stands in the way. Nothing was changed.
    #[error(transparent)]
    Refused(#[from] PfRefusal),
    /// Its lock is not to be had, or what was found cannot be recorded. Nothing was changed.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no process that could do it. Nothing was changed.
    #[error(transparent)]
    Worker(#[from] HandsError),
    /// A step failed.
    #[error("{step}{undo}")]
    Step {
        /// The step, and why.
        step: Box<StepError>,
        /// What became of the steps before it.
        undo: StepsBefore,
    },
    /// A thread of ours has ended in a way that it should not.
    #[error("this program has a fault; what it has changed is recorded, and it can be run again")]
    Panicked,
}

/// What became of the steps before one that failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum StepsBefore {
    /// They are undone.
    Undone,
    /// They are not, for this reason. What was found is recorded.
    Stay {
        /// Why.
        why: String,
    },
}

impl Display for StepsBefore {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self {
            Self::Undone => f.write_str("; the steps before it are undone"),
            Self::Stay { why } => write!(
                f,
                "; what was found is recorded, and the steps before it are not undone: {why}"
            ),
        }
    }
}

/// What a plan is carried out with.
pub(super) struct Bench<'a> {
    pub(super) state: &'a StateDir,
    pub(super) lock: &'a DeviceLock,
    pub(super) worker: Worker,
}

// === impl PfOutcome ===

impl PfOutcome {
    pub(super) fn panicked() -> Self {
        Self::failed(Failure::Panicked)
    }

    pub(super) fn failed(failure: impl Into<Failure>) -> Self {
        Self {
            changes: Vec::new(),
            done: 0,
            vfs: Vec::new(),
            failure: Some(failure.into()),
        }
    }

    /// Whether nothing was to be done.
    pub fn is_unchanged(&self) -> bool {
        self.is_good() && self.done == 0
    }

    /// Whether it is as it was wanted.
    pub fn is_good(&self) -> bool {
        self.failure.is_none() && self.vfs.is_empty()
    }
}

// === impl Failure ===

impl Failure {
    /// Whether it was refused: nothing was changed, and a person has to decide something.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::State(StateError::Locked { .. })
        )
    }
}

// === impl Device ===

impl Device<'_> {
    /// Brings the PF to a goal.
    pub(super) fn provision(&self, goal: &PfGoal) -> PfOutcome {
        self.try_provision(goal).unwrap_or_else(PfOutcome::failed)
    }

    fn try_provision(&self, goal: &PfGoal) -> Result<PfOutcome, Failure> {
        let state_dir = StateDir::open(&self.provisioner.tools.state_dir)?;
        let lock = state_dir.lock_within(self.pf, "qat-plugin provision", LOCK)?;
        let seen = self.see()?;
        let goal = match state_dir.read::<DeviceRecord>(DEVICES, self.pf)? {
            Some(earlier) => goal.resumed(&earlier.before, &seen),
            None => goal.clone(),
        };
        let plan = plan(&seen, &goal)?;
        let mut outcome = PfOutcome {
            changes: changes(&seen, &plan),
            done: 0,
            vfs: Vec::new(),
            failure: None,
        };
        if plan.is_empty() {
            return Ok(outcome);
        }
        let mut bench = Bench {
            state: &state_dir,
            lock: &lock,
            worker: self.provisioner.tools.workers.start(&lock)?,
        };
        let before = self.record(&mut bench, &seen, &plan)?;
        match self.carry_out(&mut bench, &plan, &before, &mut outcome) {
            Ok(()) => {}
            Err(error) => {
                outcome.failure =
                    Some(self.step_back(&mut bench, error, &before, &mut outcome.vfs));
            }
        }
        Ok(outcome)
    }

    pub(super) fn see(&self) -> Result<PfState, SeeError> {
        self.provisioner.see(self.pf, self.family)
    }

    pub(super) fn claim(&self, vf: PciAddress) -> Claim {
        self.provisioner.pods.claim(vf)
    }

    /// Records what is there, unless an earlier run of this boot has. Returns what is there now.
    fn record(
        &self,
        bench: &mut Bench<'_>,
        seen: &PfState,
        plan: &PfPlan,
    ) -> Result<DeviceRecord, Failure> {
        let mut vfs = Vec::new();
        // The records of single VFs are enough for those that stay.
        if plan.destroys_vfs() {
            for vf in &seen.vfs {
                vfs.push(VfBefore {
                    vf: vf.address,
                    driver: vf.driver.clone(),
                    driver_override: bench.worker.driver_override(vf.address)?,
                });
            }
        }
        let record = DeviceRecord {
            before: PfBefore::of(seen),
            vfs,
        };
        let earlier = bench.state.read::<DeviceRecord>(DEVICES, self.pf)?;
        if earlier.is_none() {
            bench.state.write(DEVICES, self.pf, &record)?;
        }
        (self.tell)(Event::Recorded { pf: self.pf });
        Ok(record)
    }

    fn carry_out(
        &self,
        bench: &mut Bench<'_>,
        plan: &PfPlan,
        before: &DeviceRecord,
        outcome: &mut PfOutcome,
    ) -> Result<(), StepError> {
        for step in &plan.steps {
            self.step(bench, step, false, |device, bench| {
                if let PfStep::BindVfs { driver, vfs } = step {
                    outcome.vfs.extend(device.bind(bench, *driver, vfs));
                }
            })?;
            if step.destroys_vfs() {
                for vf in &before.vfs {
                    // What is destroyed has nothing to be restored.
                    let _old = bench.state.remove(BINDS, vf.vf);
                }
            }
            outcome.done += 1;
        }
        Ok(())
    }

    /// Takes one step, and tells of it.
    pub(super) fn step(
        &self,
        bench: &mut Bench<'_>,
        step: &PfStep,
        back: bool,
        rest: impl FnOnce(&Self, &Bench<'_>),
    ) -> Result<(), StepError> {
        let pf = self.pf;
        let sysfs = &self.provisioner.tools.host.sysfs;
        (self.tell)(Event::Begins {
            pf,
            step: step.clone(),
            back,
        });
        let again = |why: &str| {
            let why = why.to_owned();
            (self.tell)(Event::Again { pf, why });
        };
        take(sysfs, &mut bench.worker, pf, step, &again)?;
        rest(self, bench);
        (self.tell)(Event::Ends {
            pf,
            step: step.clone(),
            back,
        });
        Ok(())
    }

    /// Binds VFs; all that the PF has if none are named. Returns those that failed.
    fn bind(
        &self,
        bench: &Bench<'_>,
        driver: VfDriver,
        vfs: &[PciAddress],
    ) -> Vec<(PciAddress, String)> {
        let (pf, tools) = (self.pf, &self.provisioner.tools);
        let all = || sysfs_pci::vf_links(&tools.host.sysfs, pf).unwrap_or_default();
        let vfs = if vfs.is_empty() {
            all().into_values().collect()
        } else {
            vfs.to_vec()
        };
        let Ok(driver) = driver.as_str().parse() else {
            return Vec::new();
        };
        let rules = bind_rules(&[self.family].into(), &driver);
        let gang = Gang {
            tools,
            rules: &rules,
            state: bench.state,
            lock: bench.lock,
        };
        let work = vfs.into_iter().map(|vf| (vf, self.claim(vf))).collect();
        let done = |vf, result: &Result<_, Reason>| match result {
            Ok(_) => (self.tell)(Event::Bound { pf, vf }),
            Err(reason) => {
                let why = chain(reason);
                (self.tell)(Event::VfFailed { pf, vf, why });
            }
        };
        let results = gang.bind(work, &done).results;
        results
            .into_iter()
            .filter_map(|(vf, result)| Some((vf, chain(&result.err()?))))
            .collect()
    }

    /// Undoes the steps before one that failed.
    fn step_back(
        &self,
        bench: &mut Bench<'_>,
        error: StepError,
        before: &DeviceRecord,
        failed: &mut Vec<(PciAddress, String)>,
    ) -> Failure {
        let step = Box::new(error);
        let undo = if step.is_stuck() {
            Err("the kernel has not returned".to_owned())
        } else {
            self.try_step_back(bench, before, failed)
        };
        let undo = match undo {
            Ok(()) => StepsBefore::Undone,
            Err(why) => StepsBefore::Stay { why },
        };
        Failure::Step { step, undo }
    }

    fn try_step_back(
        &self,
        bench: &mut Bench<'_>,
        before: &DeviceRecord,
        failed: &mut Vec<(PciAddress, String)>,
    ) -> Result<(), String> {
        let seen = self.see().map_err(|error| chain(&error))?;
        let plan = plan_undo(&seen, &before.before).map_err(|error| error.to_string())?;
        self.go_back(bench, &plan, before, failed)
            .map_err(|error| chain(&error))?;
        // It is as it was before this run: if that was the first, there is nothing to go back to.
        match bench.state.read::<DeviceRecord>(DEVICES, self.pf) {
            Ok(Some(first)) if first == *before => bench
                .state
                .remove(DEVICES, self.pf)
                .map_err(|error| chain(&error)),
            _ => Ok(()),
        }
    }
}
