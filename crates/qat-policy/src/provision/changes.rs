//! What a plan changes, for people.

use std::fmt;

use serde::Serialize;

use super::step::on_off;
use super::{DeviceState, PfPlan, PfState, PfStep};

/// One thing that a plan changes. As text: `services  dc -> asym;sym`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// What.
    pub what: &'static str,
    /// What it is.
    pub from: String,
    /// What it will be.
    pub to: String,
}

/// What a plan changes: today and afterwards.
pub fn changes(pf: &PfState, plan: &PfPlan) -> Vec<Change> {
    let count = pf.vfs.len();
    let mut state = pf.state;
    let mut vfs = count;
    let mut changes = Vec::new();
    let mut change = |what, from: String, to: String| changes.push(Change { what, from, to });
    for step in &plan.steps {
        if step.destroys_vfs() {
            vfs = 0;
        }
        match step {
            PfStep::State { to } => state = Some(*to),
            PfStep::Services { set, .. } => {
                let today = match &pf.services {
                    Ok(Some(services)) => services.set.to_string(),
                    Ok(None) => "-".to_owned(),
                    Err(_) => "?".to_owned(),
                };
                change("services", today, set.to_string());
            }
            PfStep::CreateVfs { total } => {
                vfs = usize::from(*total);
                state = state.map(|_| DeviceState::Up);
            }
            PfStep::AutoReset { on } => {
                let today = pf.auto_reset.map_or("-", on_off);
                change("auto_reset", today.to_owned(), on_off(*on).to_owned());
            }
            PfStep::RemoveVfs | PfStep::Autoprobe { .. } | PfStep::BindVfs { .. } => {}
        }
    }
    if count > 0 && vfs > 0 && plan.destroys_vfs() {
        change("VFs", count.to_string(), format!("{vfs}, made anew"));
    } else if vfs != count {
        change("VFs", count.to_string(), vfs.to_string());
    }
    for step in &plan.steps {
        if let PfStep::BindVfs { driver, vfs: some } = step {
            let many = if some.is_empty() { vfs } else { some.len() };
            change("VF driver", drivers(pf, plan), format!("{driver} ({many})"));
        }
    }
    if let (Some(from), Some(to)) = (pf.state, state)
        && from != to
    {
        change("state", from.to_string(), to.to_string());
    }
    changes
}

/// The drivers that VFs have which are to be bound.
fn drivers(pf: &PfState, plan: &PfPlan) -> String {
    if pf.vfs.is_empty() || plan.destroys_vfs() {
        return "-".to_owned();
    }
    let mut names: Vec<&str> = pf
        .vfs
        .iter()
        .map(|vf| vf.driver.as_ref().map_or("-", |driver| driver.as_str()))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10}  {} -> {}", self.what, self.from, self.to)
    }
}
