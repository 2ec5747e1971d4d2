//! How long to wait before the next attempt.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// Waits that double from 10 ms to 10 s, each shortened by a random part of up to a half, so
/// that the resources of many nodes do not knock at the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(10);

    pub(crate) fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// Starts over with short waits.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Returns how long to wait now, and doubles the next wait.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(Self::LONGEST);
        // Each `RandomState` has keys of its own: randomness enough for a jitter.
        let random = RandomState::new().build_hasher().finish();
        let permille = u32::try_from(random % 501).unwrap_or_default();
        full * (1000 - permille) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_a_limit_and_are_jittered() {
        let mut backoff = Backoff::new();
        let mut full = Backoff::FIRST;
        for _ in 0..64 {
            let delay = backoff.next_delay();
            assert!(delay <= full && delay >= full / 2, "{delay:?} of {full:?}");
            full = (full * 2).min(Backoff::LONGEST);
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Backoff::FIRST);

        let delays = |()| Backoff::new().next_delay();
        let first = delays(());
        assert!((0..64).any(|_| delays(()) != first));
    }
}
