//! How often to look without a hint.

use std::time::Duration;

/// While something waits for time to pass: a pod's end, a binding to be tried again.
const WAITING: Duration = Duration::from_secs(5);

/// Where the kernel's events may not arrive.
const DEAF: Duration = Duration::from_secs(30);

/// Where they do. What sends no event is found by this, and what was lost.
const HEARING: Duration = Duration::from_mins(5);

/// What there is to expect without a hint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expect {
    /// Something waits for time to pass: a pod's end, a binding to be tried again.
    pub waiting: bool,
    /// Something changed a moment ago, and what follows may come without a hint.
    pub stirred: bool,
    /// The kernel's events arrive.
    pub hearing: bool,
}

/// How often to look without a hint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pace {
    /// As it is needed: every 5 s while something waits for time to pass or changed a moment ago, else every 5 minutes
    /// where the kernel's events arrive, and every 30 s where it is not known that they do.
    #[default]
    AsNeeded,
    /// So often, and every 5 s while something waits.
    Every(Duration),
}

impl Pace {
    /// How long after a look the next one is at the latest.
    #[must_use]
    pub fn pause(self, expect: Expect) -> Duration {
        match self {
            Self::Every(period) if expect.waiting => period.min(WAITING),
            Self::Every(period) => period,
            Self::AsNeeded if expect.waiting || expect.stirred => WAITING,
            Self::AsNeeded if expect.hearing => HEARING,
            Self::AsNeeded => DEAF,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_looked_at_soon_whatever_the_pace() {
        let nothing = Expect::default();
        let waiting = Expect {
            waiting: true,
            ..nothing
        };
        let stirred = Expect {
            stirred: true,
            ..nothing
        };
        let hearing = Expect {
            hearing: true,
            ..nothing
        };
        let hourly = Pace::Every(Duration::from_hours(1));
        let quick = Pace::Every(Duration::from_secs(1));
        for (pace, expect, seconds) in [
            (Pace::AsNeeded, nothing, 30),
            (Pace::AsNeeded, hearing, 300),
            (Pace::AsNeeded, waiting, 5),
            (Pace::AsNeeded, stirred, 5),
            (hourly, hearing, 3600),
            (hourly, stirred, 3600),
            (hourly, waiting, 5),
            (quick, waiting, 1),
        ] {
            assert_eq!(pace.pause(expect).as_secs(), seconds, "{pace:?} {expect:?}");
        }
    }
}
