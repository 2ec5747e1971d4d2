//! From many hints to one look.

use std::time::Duration;

use tokio::time::Instant;

/// How long to wait for a further hint.
const QUIET: Duration = Duration::from_millis(50);

/// How long to wait at most while they go on.
const PATIENCE: Duration = Duration::from_millis(200);

/// Says when to look after hints: when there was none for 50 ms, but 200 ms after the first at the latest.
///
/// So a single change shows within 50 ms, and ten thousand events in a row cost five looks a second. A reset of a PF, which
/// takes its VFs away and makes them anew, is mostly seen as one change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Debounce {
    due: Option<Due>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    latest: Instant,
}

impl Debounce {
    /// Takes note of a hint.
    pub fn hint(&mut self, now: Instant) {
        let latest = self.due.map_or(now + PATIENCE, |due| due.latest);
        let at = (now + QUIET).min(latest);
        self.due = Some(Due { at, latest });
    }

    /// When to look; `None` without a hint.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due.map(|due| due.at)
    }

    /// Takes note of a look, which every hint before it is served by.
    pub fn looked(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    #[test]
    fn a_look_follows_the_last_hint_soon_and_the_first_not_too_late() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut debounce = Debounce::default();
        assert_eq!(debounce.due(), None);
        debounce.hint(at(0));
        assert_eq!(debounce.due(), Some(at(50)));
        debounce.hint(at(40));
        assert_eq!(debounce.due(), Some(at(90)));
        for millis in [80, 120, 160, 199] {
            debounce.hint(at(millis));
        }
        assert_eq!(debounce.due(), Some(at(200)));
        debounce.looked();
        assert_eq!(debounce.due(), None);
        debounce.hint(at(201));
        assert_eq!(debounce.due(), Some(at(251)));
    }

    proptest! {
        /// Whatever comes, there is a look within 200 ms of a hint, and never two within 50 ms.
        #[test]
        fn looks_are_soon_and_seldom(gaps in vec(0_u64..120, 1..400)) {
            let mut now = Instant::now();
            let mut debounce = Debounce::default();
            let mut waiting: Option<Instant> = None;
            let mut last: Option<Instant> = None;
            for gap in gaps {
                let next = now + Duration::from_millis(gap);
                while let Some(due) = debounce.due().filter(|due| *due <= next) {
                    let first = waiting.take().unwrap();
                    prop_assert!(due - first <= PATIENCE);
                    prop_assert!(last.is_none_or(|last| due - last >= QUIET));
                    last = Some(due);
                    debounce.looked();
                }
                now = next;
                debounce.hint(now);
                waiting.get_or_insert(now);
            }
        }
    }
}
