//! The way back: giving a function back, and undoing what was changed before a failure.

use sysfs_pci::{PciAddress, Write};

use super::commands::{current_override, is_stuck, is_unanswered, set_override};
use super::verify::{driver, has_driver, until};
use super::{BINDS, BindError, BindRecord, Binder, Failure, Outcome, ReleasePlan, Undo};
use crate::worker::Hands;

impl Binder<'_> {
    /// Gives a function back: to the driver and the `driver_override` that its record has.
    ///
    /// # Errors
    ///
    /// [`BindError`]; the record is kept, and to try again goes on from where this ended.
    pub fn release(&self, hands: &mut dyn Hands, plan: &ReleasePlan) -> Result<Outcome, BindError> {
        let address = plan.address;
        self.restore(hands, address, &plan.record)
            .map_err(|failure| match failure {
                Failure::Gone => self.forget(address),
                failure => BindError {
                    address,
                    undo: if is_stuck(&failure) {
                        Undo::NotTried
                    } else {
                        Undo::NothingToUndo
                    },
                    failure,
                },
            })
    }

    /// Undoes what was changed before a failure.
    pub(super) fn undo(
        &self,
        hands: &mut dyn Hands,
        address: PciAddress,
        failure: Failure,
        record: Option<BindRecord>,
    ) -> BindError {
        if matches!(failure, Failure::Gone) {
            return self.forget(address);
        }
        let undo = match record {
            None => Undo::NothingToUndo,
            Some(_) if is_stuck(&failure) => Undo::NotTried,
            Some(record) => match self.restore(hands, address, &record) {
                Ok(_) => Undo::Done,
                Err(failure) => Undo::Failed(Box::new(failure)),
            },
        };
        BindError {
            address,
            failure,
            undo,
        }
    }

    /// A function that is gone has nothing to be restored.
    fn forget(&self, address: PciAddress) -> BindError {
        let undo = match self.state.remove(BINDS, address) {
            Ok(()) => Undo::NothingToUndo,
            Err(error) => Undo::Failed(Box::new(error.into())),
        };
        BindError {
            address,
            failure: Failure::Gone,
            undo,
        }
    }

    /// Makes what the record says. Does only what is not so yet, so that it can be tried again.
    fn restore(
        &self,
        hands: &mut dyn Hands,
        address: PciAddress,
        record: &BindRecord,
    ) -> Result<Outcome, Failure> {
        let found = record.found_driver.as_ref();
        let mut outcome = Outcome::Unchanged;
        let now = driver(self.host, address)?;
        if now.as_ref() == Some(&record.driver) && now.as_ref() != found {
            self.unbind(hands, address, &record.driver)?;
            outcome = Outcome::Changed;
        }
        if current_override(hands, address)? != record.found_override {
            set_override(
                hands,
                address,
                record.found_override.as_ref(),
                self.patience,
            )?;
            outcome = Outcome::Changed;
        }
        if let Some(found) = found
            && driver(self.host, address)?.as_ref() != Some(found)
        {
            let bind = Write::Bind {
                address,
                driver: found.clone(),
            };
            if let Err(error) = hands.write(&bind) {
                if is_unanswered(&error) {
                    return Err(error.into());
                }
                hands.write(&Write::Probe { address })?;
            }
            outcome = Outcome::Changed;
        }
        until(self.patience, || has_driver(self.host, address, found))?;
        self.state.remove(BINDS, address)?;
        Ok(outcome)
    }
}
