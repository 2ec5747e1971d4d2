//! The way back.

use serde::{Deserialize, Serialize};

use super::plan::check_free;
use super::{DeviceState, PfPlan, PfRefusal, PfState, PfStep};
use crate::services::Services;

/// What a PF was before the first change: what must be remembered to go back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PfBefore {
    /// Whether it ran, where it said so.
    pub state: Option<DeviceState>,
    /// What it was configured for, where that was known.
    pub services: Option<Services>,
    /// Whether it reset itself, where it can.
    pub auto_reset: Option<bool>,
    /// Whether new VFs were given to a driver at once, where it said so.
    pub autoprobe: Option<bool>,
    /// How many VFs it had: all or none.
    pub vfs: u16,
}

impl PfBefore {
    /// Remembers a state.
    #[must_use]
    pub fn of(pf: &PfState) -> Self {
        Self {
            state: pf.state,
            services: pf.services.as_ref().ok().cloned().flatten(),
            auto_reset: pf.auto_reset,
            autoprobe: pf.autoprobe,
            vfs: u16::try_from(pf.vfs.len()).unwrap_or(u16::MAX),
        }
    }
}

/// Plans what brings a PF back to what it was. VFs that are made anew have no driver, or the kernel's; to bind
/// them as they were is not part of it.
///
/// # Errors
///
/// [`PfRefusal::InUse`] if a VF would be destroyed that is in use or may be.
pub fn plan_undo(pf: &PfState, before: &PfBefore) -> Result<PfPlan, PfRefusal> {
    let now = PfBefore::of(pf);
    let mut steps = Vec::new();
    let services = before
        .services
        .as_ref()
        .filter(|services| now.services.as_ref().map(|now| now.set) != Some(services.set));
    let goes_down =
        services.is_some() || (before.state == Some(DeviceState::Down) && pf.state != before.state);
    let removes = before.vfs == 0 && now.vfs > 0;
    if (goes_down || removes) && now.vfs > 0 {
        check_free(&pf.vfs)?;
    }
    if goes_down && pf.state == Some(DeviceState::Up) {
        steps.push(PfStep::State {
            to: DeviceState::Down,
        });
    } else if removes {
        steps.push(PfStep::RemoveVfs);
    }
    if let Some(Services { set, as_read }) = services {
        steps.push(PfStep::Services {
            set: *set,
            words: as_read.clone(),
        });
    }
    if let Some(on) = before
        .autoprobe
        .filter(|_| now.autoprobe != before.autoprobe)
    {
        steps.push(PfStep::Autoprobe { on });
    }
    let down = goes_down || pf.state == Some(DeviceState::Down);
    if before.vfs > 0 && (now.vfs == 0 || goes_down) {
        steps.push(PfStep::CreateVfs { total: before.vfs });
    } else if down && before.state == Some(DeviceState::Up) {
        steps.push(PfStep::State {
            to: DeviceState::Up,
        });
    }
    if let Some(on) = before
        .auto_reset
        .filter(|_| now.auto_reset != before.auto_reset)
    {
        steps.push(PfStep::AutoReset { on });
    }
    Ok(PfPlan {
        pf: pf.address,
        steps,
    })
}
