//! The command `provision`.

mod goals;
mod progress;
mod show;

use std::collections::BTreeMap;
use std::io::stdout;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use qat_node::Roots;
use qat_node::binding::Tools;
use qat_node::provision::{DEVICES, DeviceRecord, PfOutcome, PodSight, Provisioner};
use sysfs_pci::PciAddress;
use tokio::runtime::Builder;
use vfio_host::{Host, StateDir};

use self::goals::{Goals, goals};
use self::progress::Progress;
use crate::args::{Places, ProvisionArgs};
use crate::worker;

/// Where records are if nothing that outlives a container is mounted.
const FLEETING: &str = "/dev/shm/qat-plugin";

/// Some PFs are as they should be, and others are not.
const PARTLY: u8 = 3;
/// Nothing was changed, and a person has to decide something.
const REFUSED: u8 = 4;
/// There was nothing to do.
const UNCHANGED: u8 = 5;

/// Where things are for this command, checked.
#[derive(Debug)]
struct StatePlace {
    /// The directory of records and locks.
    path: PathBuf,
    /// Whether it goes away with the container.
    fleeting: bool,
}

/// Provisions the PFs of this node, or shows what would be done.
///
/// # Errors
///
/// The arguments do not fit the machine. Nothing was touched then. What happens to PFs is in the exit code.
pub(crate) fn run(
    args: &ProvisionArgs,
    places: &Places,
    roots: &Roots,
) -> anyhow::Result<ExitCode> {
    let goals = goals(args, &roots.sysfs)?;
    if goals.is_empty() {
        note("this node has no QAT PF of which anything is wanted");
        return Ok(exit(args, &BTreeMap::new()));
    }
    let state = state_place(places, roots);
    if state.fleeting && !args.dry_run {
        note(&format!(
            "the kubelet's directory is not mounted: what is recorded in `{FLEETING}` ends with this \
             container, so that --undo will not know of it; mount it, or name a --state-dir"
        ));
    }
    let provisioner = Provisioner {
        tools: Tools {
            host: Host {
                sysfs: roots.sysfs.clone(),
                dev: roots.dev.clone(),
                drivers: qat_policy::vfio_drivers(),
            },
            state_dir: state.path,
            workers: worker::command(&roots.sysfs),
        },
        pods: pods(args, roots)?,
    };
    if args.dry_run {
        return dry_run(args, &provisioner, &goals);
    }
    let progress = Progress::new(args.json, goals.keys().copied());
    let tell = |event| progress.tell(&event);
    let outcomes = if args.undo {
        provisioner.undo(&goals, &tell)
    } else {
        provisioner.provision(&goals, &tell)
    };
    let out = &mut stdout().lock();
    for (pf, outcome) in &outcomes {
        show::outcome(out, args.json, *pf, outcome).context("cannot print the summary")?;
    }
    Ok(exit(args, &outcomes))
}

fn dry_run(
    args: &ProvisionArgs,
    provisioner: &Provisioner,
    goals: &Goals,
) -> anyhow::Result<ExitCode> {
    let mut refused = 0;
    let out = &mut stdout().lock();
    for (&pf, (family, goal)) in goals {
        let survey = if args.undo {
            let record = recorded(&provisioner.tools.state_dir, pf)?;
            let Some(record) = record else {
                continue;
            };
            provisioner.survey_undo(pf, *family, &record)
        } else {
            provisioner.survey(pf, *family, goal)
        };
        refused += usize::from(survey.plan.is_err());
        show::survey(out, args.json, &survey).context("cannot print the plan")?;
    }
    Ok(match refused {
        0 => ExitCode::SUCCESS,
        all if all == goals.len() => ExitCode::from(REFUSED),
        _ => ExitCode::from(PARTLY),
    })
}

/// What was recorded of a PF, if there is a state directory at all.
fn recorded(state_dir: &Path, pf: PciAddress) -> anyhow::Result<Option<DeviceRecord>> {
    if !state_dir.is_dir() {
        return Ok(None);
    }
    Ok(StateDir::open(state_dir)?.read(DEVICES, pf)?)
}

/// Who says what pods hold.
fn pods(args: &ProvisionArgs, roots: &Roots) -> anyhow::Result<PodSight> {
    if args.no_kubelet {
        return Ok(PodSight::Nobody);
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    Ok(PodSight::View(runtime.block_on(roots.pods().view())))
}

/// Where records are: as typed, beside the sockets of plugins as for the daemon, or where any container can
/// write.
fn state_place(places: &Places, roots: &Roots) -> StatePlace {
    let kubelet = roots.kubelet.path();
    match &places.state_dir {
        Some(path) => StatePlace {
            path: path.clone(),
            fleeting: false,
        },
        None if kubelet.is_dir() => StatePlace {
            path: kubelet.join("qat-plugin"),
            fleeting: false,
        },
        None => StatePlace {
            path: FLEETING.into(),
            fleeting: true,
        },
    }
}

fn exit(args: &ProvisionArgs, outcomes: &BTreeMap<PciAddress, PfOutcome>) -> ExitCode {
    let good = outcomes
        .values()
        .filter(|outcome| outcome.is_good())
        .count();
    let mut bad = outcomes.values().filter(|outcome| !outcome.is_good());
    let unchanged = outcomes.values().all(PfOutcome::is_unchanged);
    if good == outcomes.len() {
        return if unchanged && args.detailed_exit_code {
            ExitCode::from(UNCHANGED)
        } else {
            ExitCode::SUCCESS
        };
    }
    let refused = bad.all(|outcome| show::word(outcome) == "refused");
    let partly = outcomes
        .values()
        .any(|outcome| show::word(outcome) == "partly");
    match (good > 0 || partly, refused) {
        (true, _) => ExitCode::from(PARTLY),
        (false, true) => ExitCode::from(REFUSED),
        (false, false) => ExitCode::FAILURE,
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a command of the terminal, without a log"
)]
fn note(text: &str) {
    eprintln!("qat-plugin: {text}");
}
