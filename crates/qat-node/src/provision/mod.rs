//! Provisioning: PFs are brought to what is wanted of them, one step after the other.
//!
//! `qat_policy::provision` decides; here is what it takes to look and to act:
//!
//! 1. [`see_pf`] looks at a PF and its VFs, with reads that cannot block.
//! 2. `plan` says what to do; [`Provisioner::survey`] shows it without doing anything.
//! 3. [`Provisioner::provision`] takes the PF's lock, looks again, records what is there
//!    ([`DeviceRecord`]), and gives one command after the other through a worker process, with a deadline. After
//!    each it reads back. What fails is undone, as far as the kernel answers.
//! 4. [`Provisioner::undo`] goes back to what was recorded before the first change of this boot.
//!
//! It can be killed at any point: the next run looks at what is there and goes on, and the way back leads
//! to where the first run began.
//!
//! PFs are independent of each other, and one that fails does not keep the others from being done.

mod device;
mod event;
mod record;
mod restore;
mod see;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use device_plugin::pods::PodView;
use qat_policy::Family;
use qat_policy::provision::{Change, PfGoal, PfPlan, PfRefusal, PfState, changes, plan, plan_undo};
use sysfs_pci::PciAddress;
use vfio_host::bind::Claim;

use self::device::Device;
pub use self::device::{Failure, PfOutcome, StepsBefore};
pub use self::event::Event;
pub use self::record::{DEVICES, DeviceRecord, VfBefore};
pub(crate) use self::see::who_has_open;
pub use self::see::{SeeError, find_pfs, see_pf};
pub use self::steps::StepError;
use crate::binding::Tools;
use crate::claim;

/// Brings PFs to what is wanted of them.
#[derive(Clone, Debug)]
pub struct Provisioner {
    /// What it takes to change the machine.
    pub tools: Tools,
    /// Who says what pods hold.
    pub pods: PodSight,
}

/// Who says what pods hold.
#[derive(Clone, Debug)]
pub enum PodSight {
    /// The kubelet, or its checkpoint; if nobody, then of no VF is known whether a pod holds it.
    View(Arc<PodView>),
    /// The caller vouches that no pod holds a VF.
    Nobody,
}

/// A PF, and what would be done to it.
#[derive(Debug)]
pub struct Survey {
    /// The PF.
    pub pf: PciAddress,
    /// Its family.
    pub family: Family,
    /// What would be done, and what that changes.
    pub plan: Result<(PfPlan, Vec<Change>), SurveyError>,
}

/// Why nothing would be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// The PF cannot be looked at.
    #[error(transparent)]
    See(#[from] SeeError),
    /// Something stands in the way.
    #[error(transparent)]
    Refused(#[from] PfRefusal),
}

/// Which way PFs are brought.
#[derive(Clone, Copy)]
enum Way {
    There,
    Back,
}

impl PodSight {
    /// Who holds a VF.
    fn claim(&self, vf: PciAddress) -> Claim {
        match self {
            Self::View(view) => claim(view, vf),
            Self::Nobody => Claim::None,
        }
    }
}

impl Provisioner {
    /// What would be done to a PF. Changes nothing.
    pub fn survey(&self, pf: PciAddress, family: Family, goal: &PfGoal) -> Survey {
        Survey {
            pf,
            family,
            plan: self.try_survey(pf, family, goal),
        }
    }

    fn try_survey(
        &self,
        pf: PciAddress,
        family: Family,
        goal: &PfGoal,
    ) -> Result<(PfPlan, Vec<Change>), SurveyError> {
        let state = self.see(pf, family)?;
        let plan = plan(&state, goal)?;
        let changes = changes(&state, &plan);
        Ok((plan, changes))
    }

    /// What would be done to bring a PF back. Changes nothing.
    pub fn survey_undo(&self, pf: PciAddress, family: Family, record: &DeviceRecord) -> Survey {
        let plan = self
            .see(pf, family)
            .map_err(SurveyError::from)
            .and_then(|state| {
                let plan = plan_undo(&state, &record.before)?;
                let changes = changes(&state, &plan);
                Ok((plan, changes))
            });
        Survey { pf, family, plan }
    }

    fn see(&self, pf: PciAddress, family: Family) -> Result<PfState, SeeError> {
        see_pf(&self.tools.host, pf, family, &|vf| self.pods.claim(vf))
    }

    /// Brings PFs to their goals, all at a time. `tell` hears of each step.
    pub fn provision(
        &self,
        goals: &BTreeMap<PciAddress, (Family, PfGoal)>,
        tell: &(dyn Fn(Event) + Sync),
    ) -> BTreeMap<PciAddress, PfOutcome> {
        self.each(goals, Way::There, tell)
    }

    /// Brings PFs back to what was recorded before the first change of this boot.
    pub fn undo(
        &self,
        pfs: &BTreeMap<PciAddress, (Family, PfGoal)>,
        tell: &(dyn Fn(Event) + Sync),
    ) -> BTreeMap<PciAddress, PfOutcome> {
        self.each(pfs, Way::Back, tell)
    }

    fn each(
        &self,
        pfs: &BTreeMap<PciAddress, (Family, PfGoal)>,
        way: Way,
        tell: &(dyn Fn(Event) + Sync),
    ) -> BTreeMap<PciAddress, PfOutcome> {
        thread::scope(|scope| {
            let threads: Vec<_> = pfs
                .iter()
                .map(|(&pf, (family, goal))| {
                    let device = Device {
                        provisioner: self,
                        pf,
                        family: *family,
                        tell,
                    };
                    let work = move || match way {
                        Way::There => device.provision(goal),
                        Way::Back => device.undo(),
                    };
                    (pf, scope.spawn(work))
                })
                .collect();
            threads
                .into_iter()
                .map(|(pf, thread)| {
                    let outcome = thread.join();
                    (pf, outcome.unwrap_or_else(|_panic| PfOutcome::panicked()))
                })
                .collect()
        })
    }
}
