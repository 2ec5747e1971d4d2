use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

fn vitals(beat: Beat, failed: u64, fatal: u64) -> Vitals {
    Vitals {
        beat,
        counters: Counters {
            failed: Some(failed),
            fatal: Some(fatal),
        },
    }
}

fn alive() -> Vitals {
    vitals(Beat::Alive, 0, 0)
}

fn after(readings: &[Vitals]) -> Option<Sickness> {
    let mut health = PfHealth::default();
    for reading in readings {
        health.note(reading, HealthRules::default());
    }
    health.sick()
}

#[test]
fn one_failure_is_enough_and_three_good_checks_heal() {
    let dead = vitals(Beat::Dead, 1, 0);
    assert_eq!(after(&[alive()]), None);
    let sick = Some(Sickness::Heartbeat { failed: 1 });
    assert_eq!(after(&[alive(), dead.clone()]), sick);
    assert_eq!(after(&[dead.clone(), alive(), alive()]), sick);
    assert_eq!(after(&[dead.clone(), alive(), alive(), alive()]), None);
    // Three in a row.
    let unclear = vitals(Beat::Unclear(Unclear::Refused), 1, 0);
    assert_eq!(
        after(&[dead, alive(), alive(), unclear, alive(), alive()]),
        sick
    );
}

#[test]
fn what_is_not_known_is_not_sick() {
    for why in [
        Unclear::NoFile,
        Unclear::Refused,
        Unclear::Unreadable {
            why: "x".to_owned(),
        },
    ] {
        let unclear = vitals(Beat::Unclear(why), 7, 7);
        assert_eq!(after(&vec![unclear; 9]), None);
    }
}

#[test]
fn fatal_errors_count_when_they_rise() {
    let errors = |count| vitals(Beat::Alive, 0, count);
    // What was there before anybody looked is history.
    assert_eq!(after(&[errors(4), errors(4)]), None);
    assert_eq!(
        after(&[errors(4), errors(5)]),
        Some(Sickness::Fatal { errors: 5 })
    );
    // A counter that starts anew is no news, and the device was started anew.
    assert_eq!(after(&[errors(4), errors(0), errors(0)]), None);
    let again = [errors(4), errors(5), errors(0), errors(0), errors(0)];
    assert_eq!(after(&again), None);
}

fn reading() -> impl Strategy<Value = Vitals> {
    let beat = prop_oneof![
        3 => Just(Beat::Alive),
        1 => Just(Beat::Dead),
        1 => Just(Beat::Unclear(Unclear::Refused)),
        1 => Just(Beat::Unclear(Unclear::NoFile)),
    ];
    (beat, 0_u64..3, 0_u64..3).prop_map(|(beat, failed, fatal)| vitals(beat, failed, fatal))
}

proptest! {
    #[test]
    fn a_verdict_does_not_flap(readings in vec(reading(), 0..60), good in 1_u32..6) {
        let rules = HealthRules { good_checks: good };
        let mut health = PfHealth::default();
        let mut fell_ill_at = None;
        for (number, reading) in readings.iter().enumerate() {
            let was_sick = health.sick().is_some();
            health.note(reading, rules);
            match (was_sick, health.sick().is_some()) {
                (false, true) => fell_ill_at = Some(number),
                (true, false) => {
                    let ill: usize = number - fell_ill_at.unwrap();
                    prop_assert!(ill >= good as usize, "well again after {} checks", ill);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_lasting_fault_is_reported_and_a_cleared_one_heals(readings in vec(reading(), 0..30)) {
        let rules = HealthRules::default();
        let mut health = PfHealth::default();
        for reading in &readings {
            health.note(reading, rules);
        }
        health.note(&vitals(Beat::Dead, 9, 0), rules);
        prop_assert_eq!(health.sick(), Some(Sickness::Heartbeat { failed: 9 }));
        for _ in 0..rules.good_checks {
            health.note(&vitals(Beat::Alive, 9, 0), rules);
        }
        prop_assert_eq!(health.sick(), None);
    }
}
