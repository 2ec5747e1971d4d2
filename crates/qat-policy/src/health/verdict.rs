//! From readings over time to a verdict.

use std::fmt::{self, Display, Formatter};

use super::{Beat, Counters, Vitals};

/// When a PF is well again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthRules {
    /// So many good checks in a row; at least one.
    pub good_checks: u32,
}

/// The health of one PF.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PfHealth {
    counters: Counters,
    sick: Option<Sickness>,
    /// Good checks in a row since something was wrong.
    good: u32,
}

/// What is wrong with a PF.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Sickness {
    /// Its heartbeat failed.
    Heartbeat {
        /// Checks that found it dead so far.
        failed: u64,
    },
    /// It counts fatal errors.
    Fatal {
        /// How many there are now.
        errors: u64,
    },
}

impl Default for HealthRules {
    fn default() -> Self {
        Self { good_checks: 3 }
    }
}

impl PfHealth {
    /// Takes note of a reading.
    pub fn note(&mut self, vitals: &Vitals, rules: HealthRules) {
        let news = self.sickness(vitals);
        self.counters = vitals.counters;
        match (news, &vitals.beat) {
            (Some(sickness), _) => {
                self.sick = Some(sickness);
                self.good = 0;
            }
            (None, Beat::Alive) => {
                self.good = self.good.saturating_add(1);
                if self.good >= rules.good_checks {
                    self.sick = None;
                }
            }
            (None, Beat::Dead | Beat::Unclear(_)) => self.good = 0,
        }
    }

    /// What is wrong with it, if something is.
    #[must_use]
    pub const fn sick(&self) -> Option<Sickness> {
        self.sick
    }

    /// The counters of the last reading, for the next one.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// What this reading has of bad news. A counter that is less than before started anew.
    fn sickness(&self, vitals: &Vitals) -> Option<Sickness> {
        let Counters { failed, fatal } = vitals.counters;
        if vitals.beat == Beat::Dead {
            let failed = failed.unwrap_or_default();
            return Some(Sickness::Heartbeat { failed });
        }
        let (before, errors) = (self.counters.fatal?, fatal?);
        (errors > before).then_some(Sickness::Fatal { errors })
    }
}

impl Sickness {
    /// A stable short code, for metrics and programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Heartbeat { .. } => "heartbeat",
            Self::Fatal { .. } => "fatal-errors",
        }
    }
}

impl Display for Sickness {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heartbeat { failed } => write!(
                f,
                "its firmware does not answer ({failed} failed heartbeats so far); see the kernel log, and start the device anew \
                 when no pod holds a VF of it"
            ),
            Self::Fatal { errors } => write!(
                f,
                "it has had {errors} fatal errors; see the kernel log, and start the device anew when no pod holds a VF of it"
            ),
        }
    }
}
