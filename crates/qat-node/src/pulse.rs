//! The one who takes the PFs' pulse.

use std::collections::BTreeMap;
use std::time::Duration;

use qat_policy::health::{HealthRules, PfHealth, Sickness, heartbeat_period, read_vitals};
use qat_policy::{DebugfsRoot, Family, Inventory};
use sysfs_pci::{PciAddress, SysfsRoot};
use tokio::time::Instant;

use crate::Roots;

/// The shortest time between two checks of a PF. The driver wants to be left alone for its own period, and a check that
/// comes sooner is refused; twice that leaves room for another program that looks now and then.
const SHORTEST: Duration = Duration::from_secs(2);

/// Checks PFs, each at its own time, and keeps their verdicts.
///
/// Checks are made by reading, and the kernel makes none by itself, so this is what finds a device that died. Where
/// debugfs is not mounted or may not be read nothing is known of heartbeats, and nothing is concluded.
#[derive(Debug)]
pub struct Pulse {
    sysfs: SysfsRoot,
    debugfs: DebugfsRoot,
    rules: HealthRules,
    pfs: BTreeMap<PciAddress, Patient>,
}

#[derive(Debug)]
struct Patient {
    family: Family,
    health: PfHealth,
    period: Duration,
    next: Instant,
    /// Whether it was checked before.
    checked: bool,
}

impl Pulse {
    /// Knows no PF yet.
    #[must_use]
    pub fn new(roots: &Roots, rules: HealthRules) -> Self {
        Self {
            sysfs: roots.sysfs.clone(),
            debugfs: roots.debugfs.clone(),
            rules,
            pfs: BTreeMap::new(),
        }
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
                Patient {
                    family: seen.family,
                    health: PfHealth::default(),
                    period: SHORTEST.max(period.saturating_mul(2)),
                    next: now,
                    checked: false,
                }
            });
        }
    }

    /// When the next check is due; `None` without a PF.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.pfs.values().map(|patient| patient.next).min()
    }

    /// Makes the checks that are due, and returns whether a verdict changed.
    pub fn take(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for (pf, patient) in &mut self.pfs {
            if patient.next > now {
                continue;
            }
            let before = patient.health.sick();
            let vitals = read_vitals(
                &self.sysfs,
                &self.debugfs,
                patient.family,
                *pf,
                patient.health.counters(),
            );
            if !patient.checked {
                patient.checked = true;
                tracing::debug!(%pf, every = ?patient.period, first = ?vitals, "the PF's health is checked");
            }
            patient.health.note(&vitals, self.rules);
            patient.next = now + patient.period;
            changed |= patient.health.sick() != before;
        }
        changed
    }

    /// What is wrong with whom.
    #[must_use]
    pub fn sick(&self) -> BTreeMap<PciAddress, Sickness> {
        let pfs = self.pfs.iter();
        pfs.filter_map(|(pf, patient)| Some((*pf, patient.health.sick()?)))
            .collect()
    }
}
