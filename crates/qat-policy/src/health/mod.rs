//! Whether a PF is well: from readings over time to a verdict.
//!
//! # What a PF tells
//!
//! **Heartbeat** (Linux 6.6, debugfs, `Documentation/ABI/testing/debugfs-driver-qat`). The firmware counts while it is
//! alive. Reading `heartbeat/status` *makes* a check: it compares the counters with those of the check before and says `0`
//! or `-1`. The kernel makes none by itself. `-1` has two meanings, though: the device failed (three checks in a row saw
//! no progress, and `queries_failed` rose), or somebody checked too soon after another check, or the device was about to
//! restart (and `queries_failed` did not rise). Only the first is bad news. Intel's plugin takes both for a failure.
//!
//! **Errors** (`qat_ras/errors_*`, generation 4 and later; `aer_dev_*` of the PCI bus). Counters. Fatal ones rise when the
//! device is broken, non-fatal ones also when one VF is used badly, correctable ones are noise. Those of the driver start
//! anew with the device.
//!
//! **Recovery** ([`Recovery`]). The kernel tells when it recovers a function from an error on the bus, and how that ended.
//!
//! **State** (`qat/state`) and **presence** (the first bytes of `config`): asked when the heartbeat does not say that all is
//! well, and now and then.
//!
//! Each is a [`Reading`]: a value, unknown and why, or failed.
//!
//! # The verdict
//!
//! [`PfHealth`] is a pure state machine. One failure makes a PF sick, as the kernel has looked three times by then. It is
//! well again after as many good checks in a row as [`HealthRules::good_checks`] says; after a fatal error that the driver
//! counted, only once that counter has started anew. What is not known changes nothing: **unknown is not sick**. So the
//! verdict changes at most once in so many checks, whatever the readings.

mod reading;
mod verdict;

pub use self::reading::{
    Beat, Care, Errors, Reading, Unclear, Vitals, heartbeat_period, read_vitals,
};
pub use self::verdict::{HealthRules, PfHealth, Recovery, Sickness};

#[cfg(test)]
mod tests;
