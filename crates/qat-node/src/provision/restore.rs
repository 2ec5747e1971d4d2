//! The way back.

use std::collections::BTreeSet;

use qat_policy::provision::{PfBefore, PfPlan, changes, plan_undo};
use sysfs_pci::PciAddress;
use vfio_host::StateDir;
use vfio_host::bind::{BINDS, BindRecord, Binder, ReleasePlan};

use super::device::{Bench, Device, Failure, LOCK, NODE, PfOutcome, StepsBefore};
use super::steps::StepError;
use super::{DEVICES, DeviceRecord, Event};
use crate::text::chain;

impl Device<'_> {
    /// Brings the PF back to what was recorded before the first change of this boot.
    pub(super) fn undo(&self) -> PfOutcome {
        self.try_undo().unwrap_or_else(PfOutcome::failed)
    }

    fn try_undo(&self) -> Result<PfOutcome, Failure> {
        let state = StateDir::open(&self.provisioner.tools.state_dir)?;
        let lock = state.lock_within(self.pf, "qat-plugin provision --undo", LOCK)?;
        let seen = self.see()?;
        let record = state.read::<DeviceRecord>(DEVICES, self.pf)?;
        let plan = match &record {
            Some(record) => plan_undo(&seen, &record.before)?,
            None => PfPlan {
                pf: self.pf,
                steps: Vec::new(),
            },
        };
        let mut outcome = PfOutcome {
            changes: changes(&seen, &plan),
            done: 0,
            vfs: Vec::new(),
            failure: None,
        };
        let bound = self.bound(&state)?;
        if record.is_none() && bound.is_empty() {
            return Ok(outcome);
        }
        let mut bench = Bench {
            state: &state,
            lock: &lock,
            worker: self.provisioner.tools.workers.start(&lock)?,
        };
        let empty = DeviceRecord {
            before: PfBefore::of(&seen),
            vfs: Vec::new(),
        };
        let before = record.as_ref().unwrap_or(&empty);
        match self.go_back(&mut bench, &plan, before, &mut outcome.vfs) {
            Ok(()) if outcome.vfs.is_empty() => {
                outcome.done = plan.steps.len() + bound.len();
                state.remove(DEVICES, self.pf)?;
            }
            Ok(()) => outcome.done = plan.steps.len(),
            Err(step) => {
                outcome.failure = Some(Failure::Step {
                    step: Box::new(step),
                    undo: StepsBefore::Stay {
                        why: "this was the way back; try again".to_owned(),
                    },
                });
            }
        }
        Ok(outcome)
    }

    /// The VFs of this PF that have a record.
    fn bound(&self, state: &StateDir) -> Result<Vec<PciAddress>, Failure> {
        let sysfs = &self.provisioner.tools.host.sysfs;
        let ours: BTreeSet<PciAddress> = sysfs_pci::vf_links(sysfs, self.pf)
            .unwrap_or_default()
            .into_values()
            .collect();
        let mut recorded = state.addresses(BINDS)?;
        recorded.retain(|vf| ours.contains(vf));
        Ok(recorded)
    }

    /// Takes the steps back, and gives VFs back: those that stay before, those that are made anew after.
    pub(super) fn go_back(
        &self,
        bench: &mut Bench<'_>,
        plan: &PfPlan,
        before: &DeviceRecord,
        failed: &mut Vec<(PciAddress, String)>,
    ) -> Result<(), StepError> {
        let recorded = self.bound(bench.state).unwrap_or_default();
        if plan.destroys_vfs() {
            for vf in recorded {
                // What is destroyed has nothing to be restored.
                let _old = bench.state.remove(BINDS, vf);
            }
        } else {
            for vf in recorded {
                if let Ok(Some(record)) = bench.state.read::<BindRecord>(BINDS, vf) {
                    self.release(bench, vf, record, failed);
                }
            }
        }
        for step in &plan.steps {
            self.step(bench, step, true, |_, _| {})?;
        }
        if plan.destroys_vfs() {
            self.rebind(bench, before, failed);
        }
        Ok(())
    }

    /// Binds VFs that were made anew to what they were bound to.
    fn rebind(
        &self,
        bench: &mut Bench<'_>,
        before: &DeviceRecord,
        failed: &mut Vec<(PciAddress, String)>,
    ) {
        let sysfs = &self.provisioner.tools.host.sysfs;
        for vf in &before.vfs {
            let Ok(now) = sysfs_pci::driver(sysfs, vf.vf) else {
                continue;
            };
            if now == vf.driver && vf.driver_override.is_none() {
                continue;
            }
            // Of a VF that has no driver there is none to be taken from.
            let Some(driver) = now.or_else(|| vf.driver.clone()) else {
                continue;
            };
            let record = BindRecord {
                found_driver: vf.driver.clone(),
                found_override: vf.driver_override.clone(),
                driver,
            };
            self.release(bench, vf.vf, record, failed);
        }
    }

    fn release(
        &self,
        bench: &mut Bench<'_>,
        vf: PciAddress,
        record: BindRecord,
        failed: &mut Vec<(PciAddress, String)>,
    ) {
        let pf = self.pf;
        let host = &self.provisioner.tools.host;
        let released = host
            .look(vf)
            .map_err(|error| chain(&error))
            .and_then(|look| {
                ReleasePlan::new(&look, record, &self.claim(vf)).map_err(|error| error.to_string())
            })
            .and_then(|plan| {
                let binder = Binder {
                    host,
                    state: bench.state,
                    patience: NODE,
                };
                binder
                    .release(&mut bench.worker, &plan)
                    .map_err(|error| error.to_string())
            });
        match released {
            Ok(_) => (self.tell)(Event::Restored { pf, vf }),
            Err(why) => {
                (self.tell)(Event::VfFailed {
                    pf,
                    vf,
                    why: why.clone(),
                });
                failed.push((vf, why));
            }
        }
    }
}
