//! Law 9: a VF that comes and goes does not flap at the kubelet.

use std::sync::LazyLock;
use std::time::Duration;

use node_sim::{Machine, Profile};
use proptest::collection::vec;
use proptest::prelude::*;
use qat_node::{Calm, Ledger, Look, NodeState, Verdict, judge};
use qat_policy::PoolName;
use sysfs_pci::PciAddress;
use tokio::time::Instant;

use crate::machine::Site;

/// A VF, and looks at its machine while it is well, without a driver and gone.
struct Case {
    vf: PciAddress,
    looks: [Look; 3],
}

static CASE: LazyLock<Case> = LazyLock::new(Case::new);

impl Case {
    fn new() -> Self {
        let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
        let vf = site.node.vfs()[0];
        let well = site.look();
        site.node.unbind(vf).unwrap();
        let unbound = site.look();
        site.node.unplug(vf).unwrap();
        let gone = site.look();
        Self {
            vf,
            looks: [well, unbound, gone],
        }
    }

    fn next(&self, state: &NodeState, look: usize, now: Instant) -> NodeState {
        let (ledger, calm) = (Ledger::default(), Calm::default());
        judge(state, &self.looks[look], &ledger, calm, now)
    }

    fn verdict<'a>(&self, state: &'a NodeState) -> &'a Verdict {
        let pool = PoolName::try_new("cy").unwrap();
        &state.pools[&pool][&self.vf].verdict
    }
}

fn code(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Healthy => "healthy",
        Verdict::Unhealthy { code, .. } => code,
    }
}

#[test]
fn three_falls_in_a_minute_cost_a_quiet_minute() {
    let case = &*CASE;
    let begun = Instant::now();
    let second = Duration::from_secs(1);
    let mut state = case.next(&NodeState::default(), 0, begun);
    let mut now = begun;
    for expected in ["healthy", "healthy", "flapping"] {
        now += second;
        state = case.next(&state, 1, now);
        assert_eq!(code(case.verdict(&state)), "not-bound");
        now += second;
        state = case.next(&state, 0, now);
        assert_eq!(code(case.verdict(&state)), expected);
    }
    let Verdict::Unhealthy { reason, .. } = case.verdict(&state) else {
        panic!("it is Healthy");
    };
    assert!(
        reason.starts_with("it came and went 3 times within 60s"),
        "{reason}"
    );
    // What is wrong meanwhile is said, and the minute begins anew.
    let state = case.next(&state, 2, now + 30 * second);
    assert_eq!(code(case.verdict(&state)), "gone");
    let now = now + 40 * second;
    let state = case.next(&state, 0, now);
    assert_eq!(state.due(now), Some(now + 60 * second));
    let early = case.next(&state, 0, now + 59 * second);
    assert_eq!(code(case.verdict(&early)), "flapping");
    let late = case.next(&state, 0, now + 60 * second);
    assert_eq!(code(case.verdict(&late)), "healthy");
    assert_eq!(late.due(now), None);
}

/// Milliseconds: mostly short, so that there are many falls in a minute, and now and then long enough to be forgiven.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![9 => 1_u64..6_000, 1 => 50_000_u64..90_000]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is seen, when: never more falls than the bound, a fault is always told at once, and what is well for long
    /// enough is offered.
    #[test]
    fn no_sequence_of_looks_beats_the_bound(steps in vec((0_usize..3, pause()), 1..60)) {
        let case = &*CASE;
        let calm = Calm::default();
        let mut now = Instant::now();
        let mut state = case.next(&NodeState::default(), 0, now);
        let mut falls = Vec::new();
        let mut well_since = Some(now);
        for (look, pause) in steps {
            now += Duration::from_millis(pause);
            let before = case.verdict(&state).clone();
            state = case.next(&state, look, now);
            let after = case.verdict(&state);
            if before == Verdict::Healthy && *after != Verdict::Healthy {
                falls.push(now);
            }
            if look == 0 {
                let since = *well_since.get_or_insert(now);
                if now >= since + calm.quiet {
                    prop_assert_eq!(after, &Verdict::Healthy);
                }
            } else {
                well_since = None;
                prop_assert_ne!(after, &Verdict::Healthy);
                prop_assert_ne!(code(after), "flapping");
            }
        }
        for window in falls.windows(calm.falls + 1) {
            prop_assert!(window[calm.falls] - window[0] >= calm.quiet, "{:?}", window);
        }
    }
}
