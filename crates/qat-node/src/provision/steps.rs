//! One step: give the command, and read back.

use std::thread::sleep;
use std::time::{Duration, Instant};

use qat_policy::Services;
use qat_policy::provision::{Cause, DeviceState, PfStep, explain};
use sysfs_pci::{PciAddress, SysfsRoot, fs};
use vfio_host::worker::{Hands, HandsError};

use super::see;
use crate::text::chain;

/// How often a step is tried that the kernel is too busy for.
const TRIES: u32 = 6;

/// The pause before the second try. Each further one is twice as long: six tries take 12 s.
const FIRST_PAUSE: Duration = Duration::from_millis(400);

/// How long a step may take to show after the kernel has taken it.
const READ_BACK: Duration = Duration::from_secs(10);

/// The first pause between two looks at what was written; each further one is twice as long.
const SHORTEST_PAUSE: Duration = Duration::from_micros(200);

/// The longest pause between two looks at what was written.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The kernel refused it, or did not answer.
    #[error("cannot {step}: {}; {cause}", chain(error))]
    Refused {
        /// The step.
        step: PfStep,
        /// What the kernel's answer means.
        cause: Cause,
        /// The answer.
        error: HandsError,
    },
    /// The kernel does not answer.
    #[error("cannot {step}: {}", chain(error))]
    NoAnswer {
        /// The step.
        step: PfStep,
        /// What is known.
        error: HandsError,
    },
    /// The kernel took it, and it does not show.
    #[error("cannot {step}: the kernel took the command, and afterwards {found}")]
    NotSo {
        /// The step.
        step: PfStep,
        /// What was read back.
        found: String,
    },
}

impl StepError {
    /// Whether the kernel has not answered: nothing more should be asked of this device now.
    pub fn is_stuck(&self) -> bool {
        matches!(self, Self::NoAnswer { .. })
    }
}

/// Gives the command of a step, and reads back what it was to change. `again` hears why it is tried again.
pub(super) fn take(
    sysfs: &SysfsRoot,
    hands: &mut dyn Hands,
    pf: PciAddress,
    step: &PfStep,
    again: &dyn Fn(&str),
) -> Result<(), StepError> {
    let Some(command) = step.command(pf) else {
        return Ok(());
    };
    if matches!(step, PfStep::CreateVfs { .. }) {
        await_none(hands, pf, step)?;
    }
    let mut pause = FIRST_PAUSE;
    let mut tries = 0;
    loop {
        tries += 1;
        let Err(error) = hands.write(&command) else {
            return read_back(sysfs, pf, step);
        };
        let Some(errno) = error.errno() else {
            return Err(StepError::NoAnswer {
                step: step.clone(),
                error,
            });
        };
        let cause = explain(step, errno);
        match cause {
            Cause::AlreadyDown if matches!(see::state(sysfs, pf), Ok(Some(DeviceState::Down))) => {
                return Ok(());
            }
            Cause::CannotRemove if see::state(sysfs, pf).is_ok_and(|state| state.is_some()) => {
                return remove_by_state(sysfs, hands, pf, again);
            }
            cause if cause.may_pass() && tries < TRIES => {
                again(&chain(&error));
                sleep(pause);
                pause *= 2;
            }
            cause => {
                return Err(StepError::Refused {
                    step: step.clone(),
                    cause,
                    error,
                });
            }
        }
    }
}

/// Waits until the kernel itself counts no VFs: links go before a removal is over.
fn await_none(hands: &mut dyn Hands, pf: PciAddress, step: &PfStep) -> Result<(), StepError> {
    let deadline = Instant::now() + READ_BACK;
    let mut pause = SHORTEST_PAUSE;
    loop {
        let count = hands.num_vfs(pf).map_err(|error| StepError::NoAnswer {
            step: step.clone(),
            error,
        })?;
        // With VFs there the kernel itself will say what is wrong.
        if count == 0 || Instant::now() >= deadline {
            return Ok(());
        }
        sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Removes VFs where the kernel does not take 0: stops the device, and starts it.
fn remove_by_state(
    sysfs: &SysfsRoot,
    hands: &mut dyn Hands,
    pf: PciAddress,
    again: &dyn Fn(&str),
) -> Result<(), StepError> {
    for to in [DeviceState::Down, DeviceState::Up] {
        take(sysfs, hands, pf, &PfStep::State { to }, again)?;
    }
    read_back(sysfs, pf, &PfStep::RemoveVfs)
}

fn read_back(sysfs: &SysfsRoot, pf: PciAddress, step: &PfStep) -> Result<(), StepError> {
    let deadline = Instant::now() + READ_BACK;
    let mut pause = SHORTEST_PAUSE;
    loop {
        let Err(found) = check(sysfs, pf, step) else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            return Err(StepError::NotSo {
                step: step.clone(),
                found,
            });
        }
        sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether a step shows; what is there instead.
fn check(sysfs: &SysfsRoot, pf: PciAddress, step: &PfStep) -> Result<(), String> {
    let is = |so: bool, what: &str, found: String| {
        if so {
            Ok(())
        } else {
            Err(format!("`{what}` reads {found}"))
        }
    };
    match step {
        PfStep::State { to } => {
            let found = see::state(sysfs, pf).map_err(|error| chain(&error))?;
            is(found == Some(*to), "qat/state", format!("{found:?}"))?;
            match to {
                // It takes along the VFs, and what there is only while the device runs.
                DeviceState::Down => {
                    vfs(sysfs, pf, 0)?;
                    let counters = fs::stat(&sysfs.pci_device(pf).join("qat_ras")).is_ok();
                    is(!counters, "qat_ras", "as if it ran".to_owned())
                }
                DeviceState::Up => Ok(()),
            }
        }
        PfStep::Services { set, .. } => {
            let path = sysfs.pci_device(pf).join("qat/cfg_services");
            let found = fs::read_text(&path).map_err(|error| chain(&error))?;
            let so = Services::parse(&found).is_ok_and(|services| services.set == *set);
            is(
                so,
                "qat/cfg_services",
                format!("`{}`", found.escape_debug()),
            )
        }
        PfStep::AutoReset { on } => {
            let found = see::auto_reset(sysfs, pf).map_err(|error| chain(&error))?;
            is(found == Some(*on), "qat/auto_reset", format!("{found:?}"))
        }
        PfStep::Autoprobe { on } => {
            let found = sysfs_pci::drivers_autoprobe(sysfs, pf).map_err(|error| chain(&error))?;
            is(
                found == Some(*on),
                "sriov_drivers_autoprobe",
                format!("{found:?}"),
            )
        }
        PfStep::CreateVfs { total } => vfs(sysfs, pf, usize::from(*total)),
        PfStep::RemoveVfs => vfs(sysfs, pf, 0),
        _ => Ok(()),
    }
}

fn vfs(sysfs: &SysfsRoot, pf: PciAddress, wanted: usize) -> Result<(), String> {
    let links = sysfs_pci::vf_links(sysfs, pf).map_err(|error| chain(&error))?;
    let there = links
        .values()
        .filter(|vf| fs::stat(&sysfs.pci_device(**vf)).is_ok());
    let found = there.count();
    if found == wanted && links.len() == wanted {
        return Ok(());
    }
    Err(format!("it has {found} VFs and should have {wanted}"))
}
