//! The daemon's part: it keeps VFs bound.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use qat_policy::{Inventory, Reason as Withheld, Standing};
use sysfs_pci::PciAddress;
use tokio::sync::mpsc;
use tokio::time::Instant;
use vfio_host::bind::{BindRules, Claim};
use vfio_host::worker::Abandoned;
use vfio_host::{StateDir, StateError};

use super::{Gang, Reason, Tools, Work};
use crate::Ledger;
use crate::provision::who_has_open;
use crate::text::chain;

/// The pause before a VF that could not be bound is tried again. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause before a VF is tried again.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// What the keeper needs.
#[derive(Clone, Debug)]
pub struct KeeperSettings {
    /// What it takes to change the machine.
    pub tools: Tools,
    /// What may be bound to what.
    pub rules: BindRules,
}

/// Binds VFs that are not bound, and tries again, not too often, what failed.
///
/// The work is done by threads of its own, one for each PF at work. The owner of the node's state calls
/// [`tend`](Self::tend) after each look and [`note`](Self::note) with each report, and never waits for either.
#[derive(Debug)]
pub struct Keeper {
    settings: KeeperSettings,
    reports: mpsc::UnboundedSender<Report>,
    /// The PFs (or VFs without one) that a thread is at.
    busy: BTreeSet<PciAddress>,
    failed: BTreeMap<PciAddress, Failed>,
    abandoned: Vec<Abandoned>,
}

/// What became of the VFs of one PF.
#[derive(Debug)]
pub struct Report {
    /// The PF, or the VF if it has none.
    pub device: PciAddress,
    /// Each VF that was tried; why none could be, if the lock was not to be had.
    pub work: Result<Work, StateError>,
}

/// A VF that could not be bound.
#[derive(Debug)]
struct Failed {
    /// Why, as it was said last.
    why: String,
    pause: Duration,
    again: Instant,
}

impl Keeper {
    /// A keeper that sends its reports there.
    pub fn new(settings: KeeperSettings, reports: mpsc::UnboundedSender<Report>) -> Self {
        Self {
            settings,
            reports,
            busy: BTreeSet::new(),
            failed: BTreeMap::new(),
            abandoned: Vec::new(),
        }
    }

    /// Starts to bind what a look has found not to be bound.
    pub fn tend(&mut self, inventory: &Inventory, ledger: &Ledger, now: Instant) {
        self.abandoned.retain_mut(|worker| !worker.has_ended());
        self.failed
            .retain(|it, _| is_unbound(inventory, *it) || inventory.pfs.contains_key(it));
        let mut work: BTreeMap<PciAddress, Vec<_>> = BTreeMap::new();
        for vf in inventory.vfs.values() {
            let device = vf.pf.unwrap_or(vf.address);
            let waits = |it| {
                let failed: Option<&Failed> = self.failed.get(it);
                failed.is_some_and(|failed| now < failed.again)
            };
            let rests = self.busy.contains(&device) || waits(&device) || waits(&vf.address);
            if is_unbound(inventory, vf.address) && !rests {
                let claim = ledger.claim(vf.address);
                work.entry(device).or_default().push((vf.address, claim));
            }
        }
        for (device, vfs) in work {
            self.busy.insert(device);
            let (settings, reports) = (self.settings.clone(), self.reports.clone());
            // Not a task of the runtime, which would wait for its end.
            thread::spawn(move || {
                let report = work_on(&settings, device, vfs);
                // Only while the daemon ends there is nobody to tell.
                let _told = reports.send(report);
            });
        }
    }

    /// Whether there is work under way or to be tried again.
    pub fn waits(&self) -> bool {
        !self.busy.is_empty() || !self.failed.is_empty() || !self.abandoned.is_empty()
    }

    /// Takes note of a report, and says what is new in it.
    pub fn note(&mut self, report: Report, now: Instant) {
        self.busy.remove(&report.device);
        let work = match report.work {
            Ok(work) => work,
            Err(error) => {
                self.fail(report.device, chain(&error), now);
                return;
            }
        };
        self.failed.remove(&report.device);
        self.abandoned.extend(work.abandoned);
        let mut bound = 0_usize;
        for (vf, result) in work.results {
            match result {
                Ok(_) => {
                    bound += 1;
                    self.failed.remove(&vf);
                }
                Err(reason) if reason.is_gone() => {}
                Err(reason) => {
                    let why = self.explain(vf, &reason);
                    self.fail(vf, why, now);
                }
            }
        }
        if bound > 0 {
            let driver = &self.settings.rules.driver;
            tracing::info!(device = %report.device, %driver, vfs = bound, "bound");
        }
    }

    /// Why a VF was not bound, and who has it open if that is why.
    fn explain(&self, vf: PciAddress, reason: &Reason) -> String {
        let mut text = chain(reason);
        if reason.is_open() {
            let by = who_has_open(&self.settings.tools.host, vf);
            if !by.is_empty() {
                text.push_str("; it is open in ");
                text.push_str(&by.join(", "));
            }
        }
        text
    }

    /// Notes a failure, and says it once.
    fn fail(&mut self, vf: PciAddress, why: String, now: Instant) {
        let before = self.failed.remove(&vf);
        if before.as_ref().is_none_or(|before| before.why != why) {
            tracing::warn!(%vf, "cannot be bound: {why}");
        }
        let pause = before.map_or(FIRST_PAUSE, |before| (before.pause * 2).min(LONGEST_PAUSE));
        self.failed.insert(
            vf,
            Failed {
                why,
                pause,
                again: now + pause,
            },
        );
    }
}

/// Whether a VF is there, and only its driver is missing for it to be offered.
fn is_unbound(inventory: &Inventory, vf: PciAddress) -> bool {
    let standing = inventory.vfs.get(&vf).map(|vf| &vf.standing);
    matches!(
        standing,
        Some(Standing::Withheld(
            Withheld::NotBound { .. } | Withheld::KernelDriver { .. }
        ))
    )
}

fn work_on(settings: &KeeperSettings, device: PciAddress, vfs: Vec<(PciAddress, Claim)>) -> Report {
    Report {
        device,
        work: try_work_on(settings, device, vfs),
    }
}

fn try_work_on(
    KeeperSettings { tools, rules }: &KeeperSettings,
    device: PciAddress,
    vfs: Vec<(PciAddress, Claim)>,
) -> Result<Work, StateError> {
    let state = &StateDir::open(&tools.state_dir)?;
    let lock = &state.lock(device, "qat-plugin")?;
    let gang = Gang {
        tools,
        rules,
        state,
        lock,
    };
    Ok(gang.bind(vfs, &|_, _| {}))
}
