//! Reading what a PF tells of itself.

use std::fmt::{self, Display, Formatter};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sysfs_pci::{AttrError, PciAddress, SysfsRoot, fs, is_on_the_bus};

use crate::family::Family;
use crate::reading::DebugfsRoot;

/// The heartbeat's own period where it is not told (`ADF_CFG_HB_TIMER_DEFAULT_MS`).
const USUAL_TIMER: Duration = Duration::from_millis(500);

/// What a source says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reading<T> {
    /// This.
    Value(T),
    /// Nothing, and that is no error.
    Unknown(Unclear),
    /// It should say something, but cannot be read or holds something else.
    Failed {
        /// What is wrong, with the path.
        why: String,
    },
}

/// What one check of the heartbeat said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beat {
    /// The firmware counts.
    Alive,
    /// It does not.
    Dead,
}

/// Why a source says nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Unclear {
    /// There was no need to ask this time.
    NotAsked,
    /// There is no such file: an old kernel, another driver, a device that is down, or no debugfs.
    NoFile,
    /// This process must not read it: debugfs is for uid 0 only, and closed where the kernel is locked down.
    Denied,
    /// The check was refused: another was made a moment ago, or the device restarts.
    Refused,
    /// Another process makes the checks on this node.
    Elsewhere,
}

/// Counted errors of a PF, by how bad they are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Errors {
    /// The device has mended them.
    pub correctable: Reading<u64>,
    /// Requests were lost. One VF that is used badly can cause them.
    pub nonfatal: Reading<u64>,
    /// The device does not work any more.
    pub fatal: Reading<u64>,
}

/// One reading of a PF.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Vitals {
    /// What the heartbeat said: `heartbeat/status` in debugfs.
    pub beat: Reading<Beat>,
    /// Checks that found the device dead: `heartbeat/queries_failed`.
    pub failed: Reading<u64>,
    /// Errors that the driver counts since the device was started: `qat_ras`, from generation 4 on.
    pub ras: Errors,
    /// Errors that the PCI bus counts since the function was found: `aer_dev_*` (Linux 4.19). Where the root port
    /// reports them they may be counted there instead.
    pub aer: Errors,
    /// Whether the device is up: `qat/state`.
    pub up: Reading<bool>,
    /// Whether the function answers on the bus: the first bytes of `config`.
    pub on_the_bus: Reading<bool>,
}

/// How closely to look at a PF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Care {
    /// At what changes first: the heartbeat and the fatal errors. Six file system calls.
    Usual,
    /// At everything. Some forty calls.
    Thorough,
}

/// Makes a check of a PF, and reads its counters.
///
/// `before` is the reading before, or the default at the first. What is not asked with [`Care::Usual`] is taken
/// from it. A check that says something else than the one before, or that the device is dead, is followed by a thorough
/// reading. `heartbeat` is whether to make a
/// check at all: one process of a node does.
///
/// None of these files can block, but for `config`, which waits while the kernel resets the PF; it is read when the
/// heartbeat does not say that the device is well.
#[must_use]
pub fn read_vitals(
    sysfs: &SysfsRoot,
    debugfs: &DebugfsRoot,
    family: Family,
    pf: PciAddress,
    before: &Vitals,
    care: Care,
    heartbeat: bool,
) -> Vitals {
    let source = Source {
        device: sysfs.pci_device(pf),
        heartbeat: debugfs.device(family, pf).join("heartbeat"),
    };
    let mut now = before.clone();
    (now.beat, now.failed) = if heartbeat {
        source.check(&before.failed)
    } else {
        (Reading::Unknown(Unclear::Elsewhere), source.failed())
    };
    now.ras.fatal = source.ras("errors_fatal");
    let well = now.beat == Reading::Value(Beat::Alive);
    let news = now.beat != before.beat || now.beat == Reading::Value(Beat::Dead);
    if care == Care::Thorough || news {
        now.failed = source.failed();
        now.ras.correctable = source.ras("errors_correctable");
        now.ras.nonfatal = source.ras("errors_nonfatal");
        now.aer = Errors {
            correctable: source.aer("aer_dev_correctable", "TOTAL_ERR_COR"),
            nonfatal: source.aer("aer_dev_nonfatal", "TOTAL_ERR_NONFATAL"),
            fatal: source.aer("aer_dev_fatal", "TOTAL_ERR_FATAL"),
        };
        now.up = source.up();
        now.on_the_bus = if well {
            Reading::Value(true)
        } else {
            is_on_the_bus(sysfs, pf).into()
        };
    }
    now
}

/// How long a PF wants to be left alone between two checks: `heartbeat/config`, in milliseconds.
#[must_use]
pub fn heartbeat_period(debugfs: &DebugfsRoot, family: Family, pf: PciAddress) -> Duration {
    let config = debugfs.device(family, pf).join("heartbeat/config");
    let timer = count(&config).value().copied();
    timer.map_or(USUAL_TIMER, Duration::from_millis)
}

/// Where a PF tells of itself.
struct Source {
    device: PathBuf,
    heartbeat: PathBuf,
}

impl Source {
    /// Makes a check. `-1` is a failure only if the driver has counted one.
    fn check(&self, failed: &Reading<u64>) -> (Reading<Beat>, Reading<u64>) {
        let before = match failed {
            Reading::Value(_) => failed.clone(),
            _ => self.failed(),
        };
        let status = self.heartbeat.join("status");
        // With one call: a second one might be another check.
        match text(&status) {
            Reading::Value(text) if text == "0" => (Reading::Value(Beat::Alive), before),
            Reading::Value(text) if text == "-1" => {
                let now = self.failed();
                match (before.value(), now.value()) {
                    (Some(before), Some(count)) if count > before => {
                        (Reading::Value(Beat::Dead), now)
                    }
                    _ => (Reading::Unknown(Unclear::Refused), now),
                }
            }
            Reading::Value(text) => (odd(&status, &text, "0 or -1"), before),
            Reading::Unknown(why) => (Reading::Unknown(why), before),
            Reading::Failed { why } => (Reading::Failed { why }, before),
        }
    }

    fn failed(&self) -> Reading<u64> {
        count(&self.heartbeat.join("queries_failed"))
    }

    fn ras(&self, name: &str) -> Reading<u64> {
        count(&self.device.join("qat_ras").join(name))
    }

    fn up(&self) -> Reading<bool> {
        let path = self.device.join("qat/state");
        text(&path).and_then(|text| match text.as_str() {
            "up" => Reading::Value(true),
            "down" => Reading::Value(false),
            other => odd(&path, other, "up or down"),
        })
    }

    /// The sum of a table of errors: `<name> <count>` in each line, where names may have blanks.
    fn aer(&self, name: &str, total: &str) -> Reading<u64> {
        let path = self.device.join(name);
        text(&path).and_then(|text| {
            let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
            let sum = lines.find(|(name, _)| *name == total);
            match sum.and_then(|(_, count)| count.parse().ok()) {
                Some(count) => Reading::Value(count),
                None => odd(&path, &text, "a table of errors with their sum"),
            }
        })
    }
}

fn text(path: &Path) -> Reading<String> {
    match fs::read_text(path) {
        Ok(text) => Reading::Value(text.trim().to_owned()),
        Err(error) => (&error).into(),
    }
}

fn count(path: &Path) -> Reading<u64> {
    text(path).and_then(|text| match text.parse() {
        Ok(count) => Reading::Value(count),
        Err(_no_number) => odd(path, &text, "a count"),
    })
}

fn odd<T>(path: &Path, found: &str, expected: &'static str) -> Reading<T> {
    Reading::Failed {
        why: AttrError::invalid(path, found, expected).to_string(),
    }
}

impl<T> Reading<T> {
    /// What is wrong with the source, if something is.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Failed { why } => Some(why),
            Self::Value(_) | Self::Unknown(_) => None,
        }
    }

    /// The value, if there is one.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Unknown(_) | Self::Failed { .. } => None,
        }
    }

    fn and_then<U>(self, next: impl FnOnce(T) -> Reading<U>) -> Reading<U> {
        match self {
            Self::Value(value) => next(value),
            Self::Unknown(why) => Reading::Unknown(why),
            Self::Failed { why } => Reading::Failed { why },
        }
    }
}

/// Nobody has asked.
impl<T> Default for Reading<T> {
    fn default() -> Self {
        Self::Unknown(Unclear::NotAsked)
    }
}

impl<T> From<&AttrError> for Reading<T> {
    fn from(error: &AttrError) -> Self {
        match error {
            error if error.is_gone() => Self::Unknown(Unclear::NoFile),
            AttrError::Read { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                Self::Unknown(Unclear::Denied)
            }
            AttrError::Read { source, .. } => Self::Failed {
                why: format!("{error}: {source}"),
            },
            error => Self::Failed {
                why: error.to_string(),
            },
        }
    }
}

impl<T> From<Result<T, AttrError>> for Reading<T> {
    fn from(result: Result<T, AttrError>) -> Self {
        match result {
            Ok(value) => Self::Value(value),
            Err(error) => (&error).into(),
        }
    }
}

/// The value, else why there is none.
impl<T: Display> Display for Reading<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Unknown(why) => why.fmt(f),
            Self::Failed { why } => f.write_str(why),
        }
    }
}

/// How a [`Reading`] is written: the value, else an object with `unknown` or `failed`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written<T> {
    Unknown { unknown: Unclear },
    Failed { failed: String },
    Value(T),
}

impl<T: Serialize> Serialize for Reading<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            Self::Value(value) => Written::Value(value),
            Self::Unknown(unknown) => Written::Unknown { unknown: *unknown },
            Self::Failed { why } => Written::Failed {
                failed: why.clone(),
            },
        };
        written.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Reading<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Value(value) => Self::Value(value),
            Written::Unknown { unknown } => Self::Unknown(unknown),
            Written::Failed { failed } => Self::Failed { why: failed },
        })
    }
}

impl Display for Beat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Dead => "dead",
        })
    }
}

impl Display for Unclear {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAsked => "not asked",
            Self::NoFile => "no such file",
            Self::Denied => "not permitted",
            Self::Refused => "the check was refused",
            Self::Elsewhere => "another process makes the checks",
        })
    }
}
