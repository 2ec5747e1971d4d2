//! From readings over time to a verdict.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Beat, Errors, Reading, Unclear, Vitals};

/// So many refused checks in a row are no chance.
const CONTENDED: u32 = 10;

/// When a PF is looked at, and when it is well again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthRules {
    /// Whether heartbeats are checked at all.
    pub heartbeat: bool,
    /// The shortest time between two checks of a PF. The driver wants to be left alone for its own period, and a check
    /// that comes sooner is refused; twice the driver's period is kept in any case, which leaves room for another
    /// program that looks now and then.
    pub check_interval: Duration,
    /// A sick PF is well after so many good checks in a row; at least one.
    pub good_checks: u32,
}

/// The health of one PF.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PfHealth {
    vitals: Vitals,
    sick: Option<Sickness>,
    /// Good checks in a row since something was wrong.
    good: u32,
    /// Checks in a row that were refused.
    refused: u32,
}

/// What is wrong with a PF.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Sickness {
    /// Its heartbeat failed.
    Heartbeat,
    /// It counts fatal errors.
    Fatal {
        /// How many there are now.
        errors: u64,
    },
    /// The PCI bus counts fatal errors of it.
    BusErrors {
        /// How many there are now.
        errors: u64,
    },
    /// The kernel is about to recover it from an error on the bus.
    Recovering,
    /// The kernel could not recover it from an error on the bus.
    NotRecovered,
    /// It does not answer on the bus.
    OffTheBus,
    /// It is down although it has VFs.
    Down,
}

/// What the kernel tells of a recovery from an error on the bus (`pci_uevent_ers`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recovery {
    /// It begins.
    Begun,
    /// It worked. Whether the device is well is for the checks that follow to say.
    Succeeded,
    /// It did not.
    Failed,
}

impl Default for HealthRules {
    /// Every two seconds; three good checks.
    fn default() -> Self {
        Self {
            heartbeat: true,
            check_interval: Duration::from_secs(2),
            good_checks: 3,
        }
    }
}

impl PfHealth {
    /// What an earlier process knew of a PF: what was wrong, and its last reading. So a PF that was broken is not taken for
    /// well because somebody else looks at it, and errors of the time between are news.
    #[must_use]
    pub fn resumed(sick: Option<Sickness>, vitals: Vitals) -> Self {
        Self {
            vitals,
            sick,
            ..Self::default()
        }
    }

    /// Takes note of a reading.
    pub fn note(&mut self, vitals: Vitals, rules: HealthRules) {
        let news = self.news(&vitals);
        let clear = self.sick.is_none_or(|sick| sick.may_be_over(&vitals));
        self.refused = match vitals.beat {
            Reading::Unknown(Unclear::Refused) => self.refused.saturating_add(1),
            _ => 0,
        };
        let good = clear
            && match vitals.beat {
                Reading::Value(Beat::Alive)
                // Where there is no heartbeat its absence is no bad sign.
                | Reading::Unknown(Unclear::NoFile | Unclear::Denied | Unclear::Elsewhere) => true,
                Reading::Value(Beat::Dead) | Reading::Unknown(_) | Reading::Failed { .. } => false,
            };
        self.vitals = vitals;
        match news {
            Some(sickness) => {
                self.sick = Some(sickness);
                self.good = 0;
            }
            None if good => {
                self.good = self.good.saturating_add(1);
                if self.good >= rules.good_checks {
                    self.sick = None;
                }
            }
            None => self.good = 0,
        }
    }

    /// Takes note of what the kernel tells of a recovery.
    pub fn note_recovery(&mut self, recovery: Recovery) {
        self.good = 0;
        match recovery {
            Recovery::Begun => self.sick = Some(Sickness::Recovering),
            Recovery::Failed => self.sick = Some(Sickness::NotRecovered),
            Recovery::Succeeded => {}
        }
    }

    /// What is wrong with it, if something is.
    #[must_use]
    pub const fn sick(&self) -> Option<Sickness> {
        self.sick
    }

    /// The last reading.
    #[must_use]
    pub const fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// How many checks in a row were refused. A few are another program's doing; many say that it checks all the time, or
    /// that the device is stuck in a restart.
    #[must_use]
    pub const fn refused(&self) -> u32 {
        self.refused
    }

    /// What keeps the PF's health from being known, where something should be known: sources that cannot be read or hold
    /// something odd, and a check that is refused all the time.
    #[must_use]
    pub fn complaints(&self) -> BTreeSet<String> {
        let Vitals {
            beat,
            failed,
            ras,
            aer,
            up,
            on_the_bus,
        } = &self.vitals;
        let counters =
            [ras, aer].map(|errors| [&errors.correctable, &errors.nonfatal, &errors.fatal]);
        let mut complaints: BTreeSet<String> = counters
            .into_iter()
            .flatten()
            .chain([failed])
            .filter_map(Reading::failure)
            .chain(beat.failure())
            .chain(up.failure())
            .chain(on_the_bus.failure())
            .map(str::to_owned)
            .collect();
        if self.refused >= CONTENDED {
            complaints.insert(
                "its heartbeat checks are refused all the time, so nobody knows whether it lives: another program makes \
                 checks too often, or it hangs in a restart; let only one program read `heartbeat/status`"
                    .to_owned(),
            );
        }
        complaints
    }

    /// What this reading has of bad news. A counter that is less than before started anew.
    fn news(&self, now: &Vitals) -> Option<Sickness> {
        let before = &self.vitals;
        if now.beat == Reading::Value(Beat::Dead) {
            return Some(Sickness::Heartbeat);
        }
        if now.on_the_bus == Reading::Value(false) {
            return Some(Sickness::OffTheBus);
        }
        if let Some(errors) = risen(&before.ras, &now.ras) {
            return Some(Sickness::Fatal { errors });
        }
        if let Some(errors) = risen(&before.aer, &now.aer) {
            return Some(Sickness::BusErrors { errors });
        }
        (now.up == Reading::Value(false)).then_some(Sickness::Down)
    }
}

/// The fatal errors, if they are more than before. What was there before anybody looked is history.
fn risen(before: &Errors, now: &Errors) -> Option<u64> {
    let (before, now) = (before.fatal.value()?, now.fatal.value()?);
    (now > before).then_some(*now)
}

impl Sickness {
    /// Whether this reading speaks for an end. A device that counted a fatal error stays broken until it is started anew or
    /// somebody who has looked after it sets the counter back: a heartbeat proves nothing then.
    fn may_be_over(self, now: &Vitals) -> bool {
        match self {
            Self::Fatal { errors } => now.ras.fatal.value().is_none_or(|now| *now < errors),
            _ => true,
        }
    }

    /// A stable short code, for metrics and programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Fatal { .. } => "fatal-errors",
            Self::BusErrors { .. } => "bus-errors",
            Self::Recovering => "recovering",
            Self::NotRecovered => "not-recovered",
            Self::OffTheBus => "off-the-bus",
            Self::Down => "down",
        }
    }
}

impl Display for Sickness {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const ANEW: &str =
            "see the kernel log, and start the device anew when no pod holds a VF of it";
        match self {
            Self::Heartbeat => write!(f, "its firmware does not answer (heartbeat); {ANEW}"),
            Self::Fatal { errors } => write!(
                f,
                "it has had {errors} fatal errors; {ANEW}, or write 1 to its `qat_ras/reset_error_counters` if it works"
            ),
            Self::BusErrors { errors } => write!(
                f,
                "the PCI bus has counted {errors} fatal errors of it; see the kernel log"
            ),
            Self::Recovering => f.write_str("the kernel recovers it from an error on the PCI bus"),
            Self::NotRecovered => write!(f, "the kernel could not recover it from an error on the PCI bus; {ANEW}"),
            Self::OffTheBus => f.write_str(
                "it does not answer on the PCI bus (its configuration space reads as ones); see the kernel log, and power the \
                 machine off and on if it stays so",
            ),
            Self::Down => write!(
                f,
                "it is down although it has VFs, so it waits for who has one open, or its restart has failed; {ANEW}"
            ),
        }
    }
}

/// How a [`Sickness`] is written: a code, a text for people, and the errors where they are counted.
#[derive(Serialize, Deserialize)]
struct Written {
    code: String,
    #[serde(default)]
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    errors: Option<u64>,
}

/// An object of the code, the text, and the errors where they are counted.
impl Serialize for Sickness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let errors = match self {
            Self::Fatal { errors } | Self::BusErrors { errors } => Some(*errors),
            _ => None,
        };
        let written = Written {
            code: self.code().to_owned(),
            text: self.to_string(),
            errors,
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sickness {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { code, errors, .. } = Written::deserialize(deserializer)?;
        let errors = errors.unwrap_or_default();
        let all = [
            Self::Heartbeat,
            Self::Fatal { errors },
            Self::BusErrors { errors },
            Self::Recovering,
            Self::NotRecovered,
            Self::OffTheBus,
            Self::Down,
        ];
        let known = all.into_iter().find(|sickness| sickness.code() == code);
        known.ok_or_else(|| D::Error::custom(format!("`{code}` is nothing that a PF can have")))
    }
}
