use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

const ALIVE: Reading<Beat> = Reading::Value(Beat::Alive);
const DEAD: Reading<Beat> = Reading::Value(Beat::Dead);

fn vitals(beat: Reading<Beat>, failed: u64, fatal: u64) -> Vitals {
    Vitals {
        beat,
        failed: Reading::Value(failed),
        ras: errors(fatal),
        ..Vitals::default()
    }
}

fn errors(fatal: u64) -> Errors {
    Errors {
        fatal: Reading::Value(fatal),
        ..Errors::default()
    }
}

fn alive() -> Vitals {
    vitals(ALIVE, 0, 0)
}

fn after(readings: &[Vitals]) -> Option<Sickness> {
    let mut health = PfHealth::default();
    for reading in readings {
        health.note(reading.clone(), HealthRules::default());
    }
    health.sick()
}

#[test]
fn one_failure_is_enough_and_three_good_checks_heal() {
    let dead = vitals(DEAD, 1, 0);
    assert_eq!(after(&[alive()]), None);
    let sick = Some(Sickness::Heartbeat);
    assert_eq!(after(&[alive(), dead.clone()]), sick);
    assert_eq!(after(&[dead.clone(), alive(), alive()]), sick);
    assert_eq!(after(&[dead.clone(), alive(), alive(), alive()]), None);
    // Three in a row.
    let unclear = vitals(Reading::Unknown(Unclear::Refused), 1, 0);
    assert_eq!(
        after(&[dead, alive(), alive(), unclear, alive(), alive()]),
        sick
    );
}

fn unclear() -> Vec<Reading<Beat>> {
    let why = "x".to_owned();
    vec![
        Reading::Unknown(Unclear::NotAsked),
        Reading::Unknown(Unclear::NoFile),
        Reading::Unknown(Unclear::Denied),
        Reading::Unknown(Unclear::Refused),
        Reading::Unknown(Unclear::Elsewhere),
        Reading::Failed { why },
    ]
}

#[test]
fn what_is_not_known_is_not_sick() {
    for beat in unclear() {
        assert_eq!(after(&vec![vitals(beat, 7, 7); 9]), None);
    }
    let nothing = Vitals {
        beat: ALIVE,
        ..Vitals::default()
    };
    // A counter that comes to be known, or is lost and found, has not risen.
    assert_eq!(after(&[nothing.clone(), vitals(ALIVE, 0, 3)]), None);
    let found = [vitals(ALIVE, 0, 3), nothing, vitals(ALIVE, 0, 3)];
    assert_eq!(after(&found), None);
}

#[test]
fn fatal_errors_last_until_their_counter_starts_anew() {
    let errors = |count| vitals(ALIVE, 0, count);
    // What was there before anybody looked is history.
    assert_eq!(after(&[errors(4), errors(4)]), None);
    let five = Some(Sickness::Fatal { errors: 5 });
    assert_eq!(after(&[errors(4), errors(5)]), five);
    let lasting = [errors(4), errors(5), errors(5), errors(5), errors(5)];
    assert_eq!(after(&lasting), five, "a heartbeat proves nothing");
    // A counter that starts anew is no news, and the device was started anew.
    assert_eq!(after(&[errors(4), errors(0), errors(0)]), None);
    let again = [errors(4), errors(5), errors(0), errors(0), errors(0)];
    assert_eq!(after(&again), None);
}

/// The counters are 64 bits wide in debugfs and 32 in `qat_ras`: one that wraps starts anew.
#[test]
fn a_counter_that_wraps_is_one_that_starts_anew() {
    let last = u64::from(u32::MAX);
    assert_eq!(after(&[vitals(ALIVE, 0, last), vitals(ALIVE, 0, 0)]), None);
    let wrapped = [
        vitals(ALIVE, 0, last),
        vitals(ALIVE, 0, 0),
        vitals(ALIVE, 0, 1),
    ];
    assert_eq!(after(&wrapped), Some(Sickness::Fatal { errors: 1 }));
}

#[test]
fn the_bus_has_its_say() {
    let with = |change: fn(&mut Vitals)| {
        let mut vitals = alive();
        change(&mut vitals);
        vitals
    };
    let counted = with(|vitals| vitals.aer = errors(1));
    let before = with(|vitals| vitals.aer = errors(0));
    let sick = after(&[before.clone(), counted.clone()]);
    assert_eq!(sick, Some(Sickness::BusErrors { errors: 1 }));
    let over = [
        before,
        counted.clone(),
        counted.clone(),
        counted.clone(),
        counted,
    ];
    assert_eq!(
        after(&over),
        None,
        "the count stays, and the device is well"
    );
    let off = with(|vitals| {
        vitals.on_the_bus = Reading::Value(false);
        vitals.beat = Reading::Unknown(Unclear::NoFile);
    });
    assert_eq!(after(&[alive(), off]), Some(Sickness::OffTheBus));
    let down = with(|vitals| vitals.up = Reading::Value(false));
    assert_eq!(after(&[alive(), down]), Some(Sickness::Down));
}

#[test]
fn a_recovery_is_believed_when_checks_confirm_it() {
    let rules = HealthRules::default();
    for end in [None, Some(Recovery::Succeeded), Some(Recovery::Failed)] {
        let mut health = PfHealth::default();
        health.note(alive(), rules);
        health.note_recovery(Recovery::Begun);
        assert_eq!(health.sick(), Some(Sickness::Recovering));
        if let Some(end) = end {
            health.note_recovery(end);
        }
        assert!(health.sick().is_some(), "{end:?}");
        for _ in 0..rules.good_checks {
            assert!(health.sick().is_some());
            health.note(alive(), rules);
        }
        // The event of the end may be lost.
        assert_eq!(health.sick(), None, "{end:?}");
    }
}

#[test]
fn without_a_heartbeat_a_pf_can_still_recover() {
    let none = Vitals {
        beat: Reading::Unknown(Unclear::NoFile),
        ..Vitals::default()
    };
    let mut health = PfHealth::default();
    health.note_recovery(Recovery::Begun);
    for _ in 0..3 {
        health.note(none.clone(), HealthRules::default());
    }
    assert_eq!(health.sick(), None);
}

#[test]
fn refusals_in_a_row_are_counted() {
    let mut health = PfHealth::default();
    for _ in 0..4 {
        let refused = vitals(Reading::Unknown(Unclear::Refused), 0, 0);
        health.note(refused, HealthRules::default());
    }
    assert_eq!((health.refused(), health.sick()), (4, None));
    health.note(alive(), HealthRules::default());
    assert_eq!(health.refused(), 0);
}

fn reading() -> impl Strategy<Value = Vitals> {
    let beat = prop_oneof![
        3 => Just(ALIVE),
        1 => Just(DEAD),
        1 => Just(Reading::Unknown(Unclear::Refused)),
        1 => Just(Reading::Unknown(Unclear::NoFile)),
    ];
    let rest = (0_u64..3, 0_u64..3, 0_u64..3, any::<bool>());
    (beat, rest).prop_map(|(beat, (failed, fatal, aer, up))| Vitals {
        aer: errors(aer),
        up: Reading::Value(up),
        ..vitals(beat, failed, fatal)
    })
}

proptest! {
    #[test]
    fn a_verdict_does_not_flap(readings in vec(reading(), 0..60), good in 1_u32..6) {
        let rules = HealthRules { good_checks: good, ..HealthRules::default() };
        let mut health = PfHealth::default();
        let mut fell_ill_at = None;
        for (number, reading) in readings.into_iter().enumerate() {
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
        for reading in readings {
            health.note(reading, rules);
        }
        health.note(vitals(DEAD, 9, 0), rules);
        prop_assert_eq!(health.sick(), Some(Sickness::Heartbeat));
        for _ in 0..rules.good_checks {
            health.note(vitals(ALIVE, 9, 0), rules);
        }
        prop_assert_eq!(health.sick(), None);
    }
}

#[test]
fn what_an_earlier_process_knew_counts() {
    let rules = HealthRules::default();
    let mut health = PfHealth::resumed(None, vitals(DEAD, 1, 1));
    health.note(vitals(ALIVE, 0, 1), rules);
    assert_eq!(health.sick(), None);
    let mut health = PfHealth::resumed(None, vitals(ALIVE, 0, 1));
    health.note(vitals(ALIVE, 0, 2), rules);
    assert_eq!(health.sick(), Some(Sickness::Fatal { errors: 2 }));

    let broken = Some(Sickness::Fatal { errors: 3 });
    let mut health = PfHealth::resumed(broken, vitals(ALIVE, 0, 3));
    for _ in 0..9 {
        health.note(vitals(ALIVE, 0, 3), rules);
    }
    assert_eq!(health.sick(), broken);
    for _ in 0..rules.good_checks {
        health.note(vitals(ALIVE, 0, 0), rules);
    }
    assert_eq!(health.sick(), None);
}

#[test]
fn what_is_wrong_is_read_as_it_is_written() {
    for sickness in [
        Sickness::Heartbeat,
        Sickness::Fatal { errors: 3 },
        Sickness::BusErrors { errors: 1 },
        Sickness::Recovering,
        Sickness::NotRecovered,
        Sickness::OffTheBus,
        Sickness::Down,
    ] {
        let text = serde_json::to_string(&sickness).unwrap();
        assert_eq!(serde_json::from_str::<Sickness>(&text).unwrap(), sickness);
    }
    let error = serde_json::from_str::<Sickness>(r#"{"code":"plague"}"#).unwrap_err();
    assert!(error.to_string().contains("`plague`"), "{error}");
}

#[test]
fn a_reading_is_read_as_it_is_written() {
    for beat in unclear().into_iter().chain([ALIVE, DEAD]) {
        let written = vitals(beat, 3, 1);
        let text = serde_json::to_string(&written).unwrap();
        let read: Vitals = serde_json::from_str(&text).unwrap();
        assert_eq!(read, written, "{text}");
    }
    let text = serde_json::to_string(&vitals(ALIVE, 3, 1)).unwrap();
    assert!(text.contains(r#""beat":"alive","failed":3"#), "{text}");
    assert!(text.contains(r#"{"unknown":"not-asked"}"#), "{text}");
}

#[test]
fn what_keeps_its_health_from_being_known_is_said() {
    let mut health = PfHealth::default();
    let refused = vitals(Reading::Unknown(Unclear::Refused), 0, 0);
    for _ in 0..9 {
        health.note(refused.clone(), HealthRules::default());
    }
    assert!(health.complaints().is_empty());
    health.note(refused, HealthRules::default());
    let said: Vec<_> = health.complaints().into_iter().collect();
    assert!(said[0].contains("only one program"), "{said:?}");
    let odd = Reading::Failed {
        why: "`status` is odd".to_owned(),
    };
    health.note(vitals(odd, 0, 0), HealthRules::default());
    assert!(health.complaints().iter().eq(["`status` is odd"]));
    health.note(alive(), HealthRules::default());
    assert!(health.complaints().is_empty());
}
