//! Reading what a PF tells of itself.

use std::path::Path;
use std::time::Duration;

use sysfs_pci::{AttrError, PciAddress, SysfsRoot, fs};

use crate::family::Family;
use crate::reading::DebugfsRoot;

/// The heartbeat's own period where it is not told (`ADF_CFG_HB_TIMER_DEFAULT_MS`).
const USUAL_TIMER: Duration = Duration::from_millis(500);

/// What one check said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Beat {
    /// The firmware counts.
    Alive,
    /// It does not.
    Dead,
    /// Nothing can be said.
    Unclear(Unclear),
}

/// Why nothing can be said of a PF's heartbeat.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Unclear {
    /// There is no such file: an old kernel, another driver, a device that is down, or no debugfs.
    NoFile,
    /// The check was refused: another was made a moment ago, or the device restarts.
    Refused,
    /// The file cannot be read, or holds something else.
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
}

/// Counters as they were at the last reading; what is not known is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Checks that found the device dead: `heartbeat/queries_failed`.
    pub failed: Option<u64>,
    /// Fatal errors: `qat_ras/errors_fatal`.
    pub fatal: Option<u64>,
}

/// One reading of a PF.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vitals {
    /// What the heartbeat said.
    pub beat: Beat,
    /// The counters now.
    pub counters: Counters,
}

/// Makes a check of a PF, and reads its counters.
///
/// `before` are the counters of the reading before, or none at the first. In the steady state it makes six file system
/// calls, three for each of two files; the failures are counted at the first reading and after a check that did not go well.
/// No file here can block.
#[must_use]
pub fn read_vitals(
    sysfs: &SysfsRoot,
    debugfs: &DebugfsRoot,
    family: Family,
    pf: PciAddress,
    before: Counters,
) -> Vitals {
    let heartbeat = debugfs.device(family, pf).join("heartbeat");
    let count = || count(&heartbeat.join("queries_failed"));
    let failed = before.failed.or_else(count);
    let status = status(&heartbeat.join("status"));
    let (beat, failed) = match status {
        Ok(true) => (Beat::Alive, failed),
        Ok(false) => match (failed, count()) {
            (Some(before), Some(now)) if now > before => (Beat::Dead, Some(now)),
            (_, now) => (Beat::Unclear(Unclear::Refused), now.or(failed)),
        },
        Err(unclear) => (Beat::Unclear(unclear), failed),
    };
    let fatal = sysfs.pci_device(pf).join("qat_ras/errors_fatal");
    Vitals {
        beat,
        counters: Counters {
            failed,
            fatal: self::count(&fatal),
        },
    }
}

/// How long a PF wants to be left alone between two checks: `heartbeat/config`, in milliseconds.
#[must_use]
pub fn heartbeat_period(debugfs: &DebugfsRoot, family: Family, pf: PciAddress) -> Duration {
    let config = debugfs.device(family, pf).join("heartbeat/config");
    count(&config).map_or(USUAL_TIMER, Duration::from_millis)
}

/// Whether a check went well. The file is read with one call: a second one might be another check.
fn status(path: &Path) -> Result<bool, Unclear> {
    match fs::read_text(path) {
        Ok(text) => match text.trim() {
            "0" => Ok(true),
            "-1" => Ok(false),
            other => Err(Unclear::Unreadable {
                why: format!("`{}` holds `{other}`", path.display()),
            }),
        },
        Err(error) if error.is_gone() => Err(Unclear::NoFile),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &AttrError) -> Unclear {
    Unclear::Unreadable {
        why: error.to_string(),
    }
}

fn count(path: &Path) -> Option<u64> {
    fs::read_text(path).ok()?.trim().parse().ok()
}
