//! What is printed: text for people, JSON for programs.

use std::io::{Result as IoResult, Write};

use qat_node::provision::{Event, PfOutcome, Survey};
use qat_policy::Family;
use qat_policy::provision::{Change, PfStep};
use serde::Serialize;
use sysfs_pci::PciAddress;

use qat_node::chain;

/// A PF in the summary.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    /// What would be done.
    Plan {
        pf: PciAddress,
        family: Family,
        changes: &'a [Change],
        steps: &'a [PfStep],
        refusal: Option<String>,
    },
    /// What was done.
    Summary {
        pf: PciAddress,
        outcome: &'static str,
        changes: &'a [Change],
        failed_vfs: Vec<FailedVf<'a>>,
        failure: Option<String>,
    },
}

#[derive(Serialize)]
struct FailedVf<'a> {
    vf: PciAddress,
    why: &'a str,
}

/// One word for what became of a PF.
pub(super) fn word(outcome: &PfOutcome) -> &'static str {
    match &outcome.failure {
        Some(failure) if failure.is_refusal() => "refused",
        Some(_) => "failed",
        None if !outcome.vfs.is_empty() => "partly",
        None if outcome.is_unchanged() => "unchanged",
        None => "done",
    }
}

/// Shows what would be done to a PF.
pub(super) fn survey(out: &mut dyn Write, json: bool, survey: &Survey) -> IoResult<()> {
    let Survey { pf, family, plan } = survey;
    if json {
        let (steps, changes, refusal) = match plan {
            Ok((plan, changes)) => (plan.steps.as_slice(), changes.as_slice(), None),
            Err(error) => (&[][..], &[][..], Some(chain(error))),
        };
        return line(
            out,
            &Line::Plan {
                pf: *pf,
                family: *family,
                changes,
                steps,
                refusal,
            },
        );
    }
    match plan {
        Err(error) => writeln!(out, "{pf} {family}: refused: {}", chain(error)),
        Ok((plan, _)) if plan.is_empty() => writeln!(out, "{pf} {family}: nothing to do"),
        Ok((plan, changes)) => {
            writeln!(out, "{pf} {family}:")?;
            for change in changes {
                writeln!(out, "    {change}")?;
            }
            for step in &plan.steps {
                writeln!(out, "  - {step}")?;
            }
            Ok(())
        }
    }
}

/// Shows what became of a PF.
pub(super) fn outcome(
    out: &mut dyn Write,
    json: bool,
    pf: PciAddress,
    outcome: &PfOutcome,
) -> IoResult<()> {
    let word = word(outcome);
    let failure = outcome.failure.as_ref().map(|failure| chain(failure));
    if json {
        let failed_vfs = outcome
            .vfs
            .iter()
            .map(|(vf, why)| FailedVf { vf: *vf, why })
            .collect();
        return line(
            out,
            &Line::Summary {
                pf,
                outcome: word,
                changes: &outcome.changes,
                failed_vfs,
                failure,
            },
        );
    }
    write!(out, "{pf}: {word}")?;
    if let Some(failure) = failure {
        write!(out, ": {failure}")?;
    }
    writeln!(out)?;
    for change in &outcome.changes {
        writeln!(out, "    {change}")?;
    }
    for (vf, why) in &outcome.vfs {
        writeln!(out, "    {vf}: {why}")?;
    }
    Ok(())
}

/// An event as a line of JSON.
pub(super) fn event(out: &mut dyn Write, event: &Event) -> IoResult<()> {
    line(out, event)
}

/// An event as a line for people; some are too small for one.
pub(super) fn sentence(event: &Event) -> Option<(PciAddress, String)> {
    Some(match event {
        Event::Begins { pf, step, back } => {
            let undo = if *back { "undo: " } else { "" };
            (*pf, format!("{undo}{step} …"))
        }
        Event::Again { pf, why } => (*pf, format!("again: {why}")),
        Event::VfFailed { pf, vf, why } => (*pf, format!("{vf}: {why}")),
        _ => return None,
    })
}

fn line(out: &mut dyn Write, value: &impl Serialize) -> IoResult<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)?;
    out.flush()
}
