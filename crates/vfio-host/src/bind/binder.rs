//! Carrying out a plan.

use std::thread::sleep;
use std::time::Duration;

use sysfs_pci::{DriverName, PciAddress, Write};

use super::commands::{current_override, explain, is_forbidden, may_change, set_override};
use super::verify::{driver, has_driver, is_usable, until};
use super::{BINDS, BindError, BindPlan, BindRecord, Failure};
use crate::worker::Hands;
use crate::{Host, StateDir};

/// How often a driver that was faster is asked to let go, and a probe that was deferred is tried again.
const TRIES: u32 = 5;

/// The pause before the second try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Carries out plans. Whoever has one holds the [`DeviceLock`](crate::DeviceLock) of the function's physical
/// function.
#[derive(Clone, Copy, Debug)]
pub struct Binder<'a> {
    /// The machine.
    pub host: &'a Host,
    /// Where what was found is recorded.
    pub state: &'a StateDir,
    /// How long a node is waited for after the function is bound.
    pub patience: Duration,
}

/// What carrying out a plan came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was so already, and nothing was written.
    Unchanged,
    /// It was changed.
    Changed,
}

impl Binder<'_> {
    /// Binds a function.
    ///
    /// # Errors
    ///
    /// [`BindError`]; the function is as it was found unless the error says otherwise.
    pub fn bind(&self, hands: &mut dyn Hands, plan: &BindPlan) -> Result<Outcome, BindError> {
        let mut recorded = None;
        self.try_bind(hands, plan, &mut recorded)
            .map_err(|failure| self.undo(hands, plan.address, failure, recorded))
    }

    /// `recorded` is set before the first change.
    fn try_bind(
        &self,
        hands: &mut dyn Hands,
        plan: &BindPlan,
        recorded: &mut Option<BindRecord>,
    ) -> Result<Outcome, Failure> {
        let BindPlan { address, to, .. } = plan;
        let before = current_override(hands, *address)?;
        if plan.is_bound() && before.as_ref() == Some(to) {
            return Ok(Outcome::Unchanged);
        }
        *recorded = Some(self.record(plan, before.as_ref())?);
        let refused = if before.as_ref() == Some(to) {
            None
        } else {
            match set_override(hands, *address, Some(to), self.patience) {
                Ok(()) => None,
                Err(failure) if is_forbidden(&failure) => Some(failure.to_string()),
                Err(failure) => return Err(failure),
            }
        };
        match (plan.is_bound(), refused) {
            (true, None) => {}
            (true, Some(_)) => {
                // It serves without; nothing has changed.
                self.state.remove(BINDS, *address)?;
                return Ok(Outcome::Unchanged);
            }
            (false, refused) => self.rebind(hands, plan, refused.as_deref())?,
        }
        Ok(Outcome::Changed)
    }

    /// Unbinds, binds, verifies.
    fn rebind(
        &self,
        hands: &mut dyn Hands,
        plan: &BindPlan,
        refused: Option<&str>,
    ) -> Result<(), Failure> {
        let BindPlan { address, to, .. } = plan;
        if let Some(from) = &plan.from {
            self.unbind(hands, *address, from)?;
        }
        self.bind_to(hands, plan, refused)?;
        until(self.patience, || {
            has_driver(self.host, *address, Some(to))?;
            plan.vfio
                .as_ref()
                .map_or(Ok(()), |vfio| is_usable(self.host, *address, vfio))
        })
    }

    /// Takes the function from a driver. Fine too if that has happened meanwhile; that another driver has
    /// taken it at once shows when it is bound.
    pub(super) fn unbind(
        &self,
        hands: &mut dyn Hands,
        address: PciAddress,
        from: &DriverName,
    ) -> Result<(), Failure> {
        let command = Write::Unbind {
            address,
            driver: from.clone(),
        };
        match hands.write(&command) {
            Ok(()) => Ok(()),
            Err(error) if error.is_gone() => match driver(self.host, address)? {
                Some(still) if still == *from => Err(error.into()),
                _ => Ok(()),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn bind_to(
        &self,
        hands: &mut dyn Hands,
        plan: &BindPlan,
        refused: Option<&str>,
    ) -> Result<(), Failure> {
        let BindPlan { address, to, .. } = plan;
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = hands.write(&Write::Bind {
                address: *address,
                driver: to.clone(),
            });
            let Err(error) = answer else {
                return Ok(());
            };
            match driver(self.host, *address)? {
                Some(found) if found == *to => return Ok(()),
                Some(faster) if tries < TRIES && plan.take_from.contains(&faster) => {
                    self.unbind(hands, *address, &faster)?;
                }
                Some(faster) => return Err(Failure::Snatched { driver: faster }),
                None if tries < TRIES && may_change(&error) => {}
                None => return Err(explain(to, error, refused)),
            }
            sleep(pause);
            pause *= 2;
        }
    }

    /// Records what was found, unless an earlier run has.
    fn record(
        &self,
        plan: &BindPlan,
        found_override: Option<&DriverName>,
    ) -> Result<BindRecord, Failure> {
        let earlier = self.state.read::<BindRecord>(BINDS, plan.address)?;
        let record = BindRecord {
            driver: plan.to.clone(),
            ..earlier.clone().unwrap_or_else(|| BindRecord {
                found_driver: plan.from.clone(),
                found_override: found_override.cloned(),
                driver: plan.to.clone(),
            })
        };
        if earlier.as_ref() != Some(&record) {
            self.state.write(BINDS, plan.address, &record)?;
        }
        Ok(record)
    }
}
