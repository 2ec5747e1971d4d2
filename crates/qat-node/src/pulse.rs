//! The one who takes the PFs' pulse.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use qat_policy::health::{
    Care, HealthRules, PfHealth, Recovery, Sickness, Vitals, heartbeat_period, read_vitals,
};
use qat_policy::{DebugfsRoot, Family, Inventory};
use sysfs_pci::{PciAddress, SysfsRoot};
use tokio::time::Instant;

use crate::Roots;
use crate::lock::lock;

/// How often everything is read of a PF that is well, what does not change soon included.
const THOROUGHLY: Duration = Duration::from_secs(30);

/// The name of the lock in the state directory.
pub(crate) const LOCK: &str = "heartbeat.lock";

/// Checks PFs, each at its own time, and keeps their verdicts.
///
/// Checks are made by reading, and the kernel makes none by itself, so this is what finds a device that died. A check that
/// follows another too soon is refused, so there is to be one that makes them: who has the lock `heartbeat.lock` in the
/// state directory. Others read the rest, and take over when the lock is free. Where debugfs is not mounted or may not be
/// read nothing is known of heartbeats, and nothing is concluded.
///
/// The files are opened anew for each reading: an open file in debugfs would keep the driver's module from being
/// unloaded.
#[derive(Debug)]
pub struct Pulse {
    sysfs: SysfsRoot,
    debugfs: DebugfsRoot,
    rules: HealthRules,
    poller: Poller,
    lock: PathBuf,
    pfs: BTreeMap<PciAddress, Patient>,
    /// PFs that an earlier process knew, until they are seen.
    resumed: BTreeMap<PciAddress, (PfHealth, Instant)>,
}

/// Who makes the checks of this node's heartbeats.
#[derive(Debug)]
enum Poller {
    /// We do, and hold the lock.
    Us { _lock: File },
    /// Perhaps another process: the lock is asked for at each check.
    Unknown { path: PathBuf },
    /// Nobody: it is not wanted.
    Nobody,
}

#[derive(Debug)]
struct Patient {
    family: Family,
    health: PfHealth,
    /// Since when it is as it is, sick or well.
    since: Instant,
    /// No check is to follow another sooner: twice the driver's own period.
    least: Duration,
    period: Duration,
    next: Instant,
    /// When to read everything again.
    thoroughly: Instant,
}

impl Poller {
    fn new(rules: HealthRules, lock: &Path) -> Self {
        if rules.heartbeat {
            Self::Unknown {
                path: lock.to_owned(),
            }
        } else {
            Self::Nobody
        }
    }
}

impl Pulse {
    /// Knows no PF yet. The lock is in `state_dir`; where that cannot be written to, there is none.
    #[must_use]
    pub fn new(roots: &Roots, rules: HealthRules, state_dir: &Path) -> Self {
        let lock = state_dir.join(LOCK);
        Self {
            sysfs: roots.sysfs.clone(),
            debugfs: roots.debugfs.clone(),
            rules,
            poller: Poller::new(rules, &lock),
            lock,
            pfs: BTreeMap::new(),
            resumed: BTreeMap::new(),
        }
    }

    /// Goes by other rules from the next check on. What is known of PFs stays.
    pub fn follow(&mut self, rules: HealthRules) {
        if rules.heartbeat != self.rules.heartbeat {
            self.poller = Poller::new(rules, &self.lock);
        }
        self.rules = rules;
        for patient in self.pfs.values_mut() {
            patient.period = rules.check_interval.max(patient.least);
        }
    }

    /// Takes over what an earlier process knew of a PF, and since when it was so.
    pub fn resume(&mut self, pf: PciAddress, health: PfHealth, since: Instant) {
        self.resumed.insert(pf, (health, since));
    }

    /// Takes the PFs that run from what was seen. One that runs no more is forgotten with its verdict: if it comes back
    /// its driver has started it anew.
    pub fn attend(&mut self, inventory: &Inventory, now: Instant) {
        let runs = |pf: &PciAddress| {
            let seen = inventory.pfs.get(pf);
            seen.is_some_and(|seen| {
                let expected = seen.family.spec().pf_driver;
                let driver = seen.driver.as_ref();
                driver.is_some_and(|driver| driver.as_str() == expected) && seen.vf_count > 0
            })
        };
        self.pfs.retain(|pf, _| runs(pf));
        for (pf, seen) in inventory.pfs.iter().filter(|(pf, _)| runs(pf)) {
            self.pfs.entry(*pf).or_insert_with(|| {
                let period = heartbeat_period(&self.debugfs, seen.family, *pf);
                let known = self.resumed.remove(pf);
                let (health, since) = known.unwrap_or_else(|| (PfHealth::default(), now));
                tracing::debug!(%pf, ?period, "the PF's health is checked");
                Patient {
                    family: seen.family,
                    health,
                    since,
                    least: period.saturating_mul(2),
                    period: self.rules.check_interval.max(period.saturating_mul(2)),
                    next: now,
                    thoroughly: now,
                }
            });
        }
        self.resumed.clear();
    }

    /// When the next check is due; `None` without a PF.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.pfs.values().map(|patient| patient.next).min()
    }

    /// Makes the checks that are due, and returns whether there is something new to say.
    pub fn take(&mut self, now: Instant) -> bool {
        let heartbeat = self.poller.is_us();
        let mut changed = false;
        for (pf, patient) in &mut self.pfs {
            if patient.next > now {
                continue;
            }
            let before = patient.health.sick();
            let complaints = patient.health.complaints();
            let care = if before.is_some() || patient.thoroughly <= now {
                patient.thoroughly = now + THOROUGHLY;
                Care::Thorough
            } else {
                Care::Usual
            };
            let known = patient.health.vitals();
            let vitals = read_vitals(
                &self.sysfs,
                &self.debugfs,
                patient.family,
                *pf,
                known,
                care,
                heartbeat,
            );
            if *known == Vitals::default() {
                tracing::debug!(%pf, every = ?patient.period, first = ?vitals, "the PF's health was checked");
            }
            patient.health.note(vitals, self.rules);
            patient.next = now + patient.period;
            changed |= patient.changed(before, now);
            changed |= patient.health.complaints() != complaints;
        }
        changed
    }

    /// Takes note of what the kernel tells of a recovery, and returns whether that changed a verdict. Functions that are no
    /// PFs of ours are passed over.
    pub fn recovers(&mut self, function: PciAddress, recovery: Recovery, now: Instant) -> bool {
        let Some(patient) = self.pfs.get_mut(&function) else {
            return false;
        };
        let before = patient.health.sick();
        patient.health.note_recovery(recovery);
        patient.thoroughly = now;
        patient.changed(before, now)
    }

    /// The health of each PF that runs, and since when it is sick or well.
    pub fn pfs(&self) -> impl Iterator<Item = (PciAddress, &PfHealth, Instant)> {
        let pfs = self.pfs.iter();
        pfs.map(|(pf, patient)| (*pf, &patient.health, patient.since))
    }

    /// What keeps the health of PFs from being known, a sentence each.
    pub fn complaints(&self) -> impl Iterator<Item = String> {
        self.pfs().flat_map(|(pf, health, _)| {
            let complaints = health.complaints().into_iter();
            complaints.map(move |complaint| format!("PF {pf}: {complaint}"))
        })
    }

    /// What is wrong with whom.
    #[must_use]
    pub fn sick(&self) -> BTreeMap<PciAddress, Sickness> {
        let resumed = self.resumed.iter();
        let resumed = resumed.map(|(pf, (health, _))| (*pf, health));
        self.pfs()
            .map(|(pf, health, _)| (pf, health))
            .chain(resumed)
            .filter_map(|(pf, health)| Some((pf, health.sick()?)))
            .collect()
    }
}

impl Patient {
    /// Whether the verdict is another than `before`.
    fn changed(&mut self, before: Option<Sickness>, now: Instant) -> bool {
        let after = self.health.sick();
        if after.map(Sickness::code) != before.map(Sickness::code) {
            self.since = now;
        }
        after != before
    }
}

impl Poller {
    /// Whether this process makes the checks, now that it may try to.
    fn is_us(&mut self) -> bool {
        let path = match self {
            Self::Us { .. } => return true,
            Self::Nobody => return false,
            Self::Unknown { path } => path,
        };
        match lock(path) {
            Ok(lock) => *self = Self::Us { _lock: lock },
            Err(TryLockError::WouldBlock) => return false,
            // The directory may come later, made by the binder. Until then there is no lock to respect.
            Err(TryLockError::Error(_)) => {}
        }
        true
    }
}
