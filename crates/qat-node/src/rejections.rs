//! VFs that an allocation or a container start was rejected for.

use std::collections::BTreeMap;
use std::time::Duration;

use qat_policy::{PoolName, Standing};
use sysfs_pci::PciAddress;
use tokio::time::Instant;

use crate::Look;
use crate::hints::Scope;
use crate::recheck::RecheckError;
use crate::state::{NodeState, Verdict};
use crate::text::chain;

/// Delays between re-checks of a rejected VF; the last one repeats.
const BACKOFF: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(30),
];

/// Minimum time between two full scans that rejections trigger.
const FULL_SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// A call of the kubelet that the plugin rejected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// The pool that was asked.
    pub pool: PoolName,
    /// The VF that cannot be used; `None` if the reason lies in the host or in an output.
    pub vf: Option<RejectedVf>,
}

/// A VF and why it cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RejectedVf {
    /// The VF.
    pub address: PciAddress,
    /// The same short codes as in [`Verdict::Unhealthy`].
    pub code: &'static str,
    /// The sentence for people.
    pub reason: String,
}

impl Rejection {
    /// Describes why `pool` rejected a call.
    #[must_use]
    pub fn new(pool: PoolName, address: Option<PciAddress>, why: &RecheckError) -> Self {
        let vf = address
            .zip(why.vf_code())
            .map(|(address, code)| RejectedVf {
                address,
                code,
                reason: chain(why),
            });
        Self { pool, vf }
    }
}

/// Rejected VFs, unhealthy until a re-check passes.
///
/// A scan sees less than the re-check of one VF does, and some changes cause no uevent. So a rejection is evidence: the
/// VF turns unhealthy, or the kubelet would assign it to one pod after the other.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    vfs: BTreeMap<PciAddress, Entry>,
    full_scan: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    pool: PoolName,
    verdict: Verdict,
    /// The number of failed re-checks.
    failures: usize,
    next: Instant,
    /// Whether a scan has excluded the VF since. Once a later scan finds it eligible, the scan is newer than the rejection.
    excluded: bool,
}

impl Rejections {
    /// Records a rejection and returns what to scan: everything for the first one in a second, as other VFs may have
    /// lost the same; then the VF. A VF that is rejected again keeps its next re-check.
    pub(crate) fn record(&mut self, rejection: Rejection, now: Instant) -> Scope {
        let Rejection { pool, vf } = rejection;
        let mut scope = Scope::default();
        if let Some(RejectedVf {
            address,
            code,
            reason,
        }) = vf
        {
            scope = Scope::function(address);
            self.vfs.entry(address).or_insert_with(|| Entry {
                pool,
                verdict: Verdict::unhealthy(code, reason),
                failures: 0,
                next: now + BACKOFF[0],
                excluded: false,
            });
        }
        let recent = |last: Instant| now < last + FULL_SCAN_INTERVAL;
        if self.full_scan.is_some_and(recent) {
            return scope;
        }
        self.full_scan = Some(now);
        Scope::everything()
    }

    /// When to re-check the next VF.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.vfs.values().map(|entry| entry.next).min()
    }

    /// The VFs to re-check now, with their pools.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<(PciAddress, PoolName)> {
        let due = self.vfs.iter().filter(|(_, entry)| entry.next <= now);
        due.map(|(vf, entry)| (*vf, entry.pool.clone())).collect()
    }

    /// Brings the next re-check of what `scope` names forward: something changed there.
    pub(crate) fn hint(&mut self, scope: &Scope, now: Instant) {
        for (vf, entry) in &mut self.vfs {
            if scope.is_everything() || scope.functions().contains(vf) {
                entry.next = entry.next.min(now);
            }
        }
    }

    /// Records the result of a re-check.
    pub(crate) fn rechecked(
        &mut self,
        vf: PciAddress,
        result: Result<(), RecheckError>,
        now: Instant,
    ) {
        let Err(why) = result else {
            self.vfs.remove(&vf);
            return;
        };
        let Some(entry) = self.vfs.get_mut(&vf) else {
            return;
        };
        if let Some(code) = why.vf_code() {
            entry.verdict = Verdict::unhealthy(code, chain(&why));
        }
        entry.failures += 1;
        let pause = BACKOFF.get(entry.failures).or(BACKOFF.last());
        entry.next = now + pause.copied().unwrap_or_default();
    }

    /// Forgets VFs that left their pool, and those that a scan has excluded and a later one finds eligible.
    pub(crate) fn scanned(&mut self, look: &Look, state: &NodeState) {
        self.vfs.retain(|vf, entry| {
            let pool = state.pools.get(&entry.pool);
            if pool.is_none_or(|vfs| !vfs.contains_key(vf)) {
                return false;
            }
            let seen = look.inventory.vfs.get(vf).map(|vf| &vf.standing);
            let eligible = matches!(seen, Some(Standing::Offered { pool }) if *pool == entry.pool);
            let recovered = eligible && entry.excluded;
            entry.excluded |= !eligible;
            !recovered
        });
    }

    /// Why a VF of a pool cannot be used; `None` if it was not rejected.
    pub(crate) fn verdict(&self, pool: &PoolName, vf: PciAddress) -> Option<&Verdict> {
        let entry = self.vfs.get(&vf).filter(|entry| entry.pool == *pool)?;
        Some(&entry.verdict)
    }
}

#[cfg(test)]
mod tests {
    use vfio_host::Refusal;

    use super::*;

    fn pool() -> PoolName {
        PoolName::try_new("cy").unwrap()
    }

    fn vf(function: u8) -> PciAddress {
        PciAddress::new(0, 0x6b, 0, function).unwrap()
    }

    fn gone(address: PciAddress) -> RecheckError {
        RecheckError::Unusable(Refusal::Gone { address })
    }

    fn rejection(address: PciAddress) -> Rejection {
        Rejection::new(pool(), Some(address), &gone(address))
    }

    #[test]
    fn first_rejection_in_a_second_scans_everything() {
        let mut rejections = Rejections::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let everything = Scope::everything();
        assert_eq!(rejections.record(rejection(vf(1)), at(0)), everything);
        let two = Scope::function(vf(2));
        assert_eq!(rejections.record(rejection(vf(2)), at(900)), two);
        let host = Rejection {
            pool: pool(),
            vf: None,
        };
        assert_eq!(rejections.record(host, at(950)), Scope::default());
        assert_eq!(rejections.record(rejection(vf(3)), at(1000)), everything);
    }

    #[test]
    fn rechecks_back_off_until_one_passes() {
        let mut rejections = Rejections::default();
        let mut now = Instant::now();
        rejections.record(rejection(vf(1)), now);
        for seconds in [1, 2, 5, 10, 20, 30, 30] {
            // Rejected again, which changes nothing.
            rejections.record(rejection(vf(1)), now);
            let next = now + Duration::from_secs(seconds);
            assert_eq!(rejections.due(), Some(next), "{seconds}");
            assert_eq!(rejections.overdue(now), []);
            now = next;
            assert_eq!(rejections.overdue(now), [(vf(1), pool())]);
            rejections.rechecked(vf(1), Err(gone(vf(1))), now);
        }
        assert!(rejections.verdict(&pool(), vf(1)).is_some());
        rejections.hint(&Scope::function(vf(2)), now);
        assert_ne!(rejections.due(), Some(now));
        rejections.hint(&Scope::function(vf(1)), now);
        assert_eq!(rejections.due(), Some(now));
        rejections.rechecked(vf(1), Ok(()), now);
        assert_eq!(
            (rejections.due(), rejections.verdict(&pool(), vf(1))),
            (None, None)
        );
    }
}
