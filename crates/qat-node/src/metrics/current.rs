//! Metrics that say what is, and are no more when it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// A metric whose value is read from the machine.
pub(super) trait Known: Default {
    fn set_to(&self, value: u64);
}

impl Known for Gauge {
    fn set_to(&self, value: u64) {
        self.set(i64::try_from(value).unwrap_or(i64::MAX));
    }
}

/// Somebody else counts. One that starts anew is for Prometheus to understand.
impl Known for Counter {
    fn set_to(&self, value: u64) {
        self.inner().store(value, Ordering::Relaxed);
    }
}

/// A family of which only what was said last is shown.
#[derive(Debug)]
pub(super) struct Current<L, M> {
    pub(super) family: Family<L, M>,
    shown: Mutex<BTreeSet<L>>,
}

impl<L: Clone + Hash + Eq, M> Default for Current<L, M>
where
    Family<L, M>: Default,
{
    fn default() -> Self {
        Self {
            family: Family::default(),
            shown: Mutex::default(),
        }
    }
}

impl<L, M> Current<L, M>
where
    L: Clone + Hash + Ord + EncodeLabelSet,
    M: Known,
{
    /// Shows this and nothing else.
    pub(super) fn show(&self, now: BTreeMap<L, u64>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.iter().filter(|label| !now.contains_key(label)) {
            self.family.remove(gone);
        }
        for (label, value) in &now {
            self.family.get_or_create(label).set_to(*value);
        }
        *shown = now.into_keys().collect();
    }
}
