//! Moments of this process as moments of the world.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Two clocks that were read at the same moment. A moment of one is then always the same moment of the other, whatever
/// becomes of the time of day.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    here: Instant,
    world: Duration,
}

impl Clock {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Self {
        let world = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            here: Instant::now(),
            world: world.unwrap_or_default(),
        }
    }

    /// The seconds since the epoch at a moment.
    #[must_use]
    pub fn unix(self, at: Instant) -> u64 {
        let world = match at.checked_duration_since(self.here) {
            Some(later) => self.world.saturating_add(later),
            None => self.world.saturating_sub(self.here.duration_since(at)),
        };
        world.as_secs()
    }

    /// The moment of so many seconds since the epoch; `None` if this process cannot name it, or it lies ahead.
    #[must_use]
    pub fn instant(self, unix: u64) -> Option<Instant> {
        let ago = self.world.checked_sub(Duration::from_secs(unix))?;
        self.here.checked_sub(ago)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_the_way_there_and_back() {
        let clock = Clock::now();
        let now = clock.unix(Instant::now());
        assert_eq!(clock.unix(clock.instant(now - 3).unwrap()), now - 3);
        assert_eq!(clock.instant(now + 60), None, "a time that lies ahead");
        let later = Instant::now() + Duration::from_mins(1);
        assert!((59..=61).contains(&(clock.unix(later) - now)));
    }
}
