//! A VF that comes and goes is kept back until it has been well for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use sysfs_pci::PciAddress;
use tokio::time::Instant;

/// How often a VF may become Unhealthy before it has to prove itself.
///
/// Whatever the readings, a VF becomes Unhealthy no more than [`falls`](Self::falls) times in any time of
/// [`quiet`](Self::quiet), and the kubelet hears no more of it than that. A fault that lasts is told at once, always: only
/// the way back is slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Calm {
    /// So many falls within [`quiet`](Self::quiet) are too many; at least one.
    pub falls: usize,
    /// So long it has to be well then, without a break, before it is offered again.
    pub quiet: Duration,
}

impl Default for Calm {
    /// Three falls; a minute.
    fn default() -> Self {
        Self {
            falls: 3,
            quiet: Duration::from_mins(1),
        }
    }
}

/// Which VFs have fallen lately.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Falls(BTreeMap<PciAddress, Fallen>);

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Fallen {
    times: Vec<Instant>,
    /// Since when it is well again.
    well: Option<Instant>,
}

impl Falls {
    /// Takes note of a VF that is well, and returns until when it is kept back.
    pub(crate) fn well(&mut self, vf: PciAddress, calm: Calm, now: Instant) -> Option<Instant> {
        let fallen = self.0.get_mut(&vf)?;
        let until = *fallen.well.get_or_insert(now) + calm.quiet;
        if until <= now {
            self.0.remove(&vf);
            return None;
        }
        (fallen.times.len() >= calm.falls).then_some(until)
    }

    /// Takes note of a VF that is not well, and whether it was Healthy before.
    pub(crate) fn not_well(&mut self, vf: PciAddress, fell: bool, calm: Calm, now: Instant) {
        if fell {
            let fallen = self.0.entry(vf).or_default();
            fallen.times.retain(|time| *time + calm.quiet > now);
            fallen.times.push(now);
        }
        if let Some(fallen) = self.0.get_mut(&vf) {
            fallen.well = None;
        }
    }

    /// Forgets VFs that are neither `known` nor have fallen lately.
    pub(crate) fn forget(&mut self, known: impl Fn(&PciAddress) -> bool, calm: Calm, now: Instant) {
        self.0.retain(|vf, fallen| {
            known(vf)
                || fallen
                    .times
                    .last()
                    .is_some_and(|time| *time + calm.quiet > now)
        });
    }
}
