//! What a PF's heartbeat does to its VFs. Time is given, not waited for.

use std::fs;
use std::time::Duration;

use node_sim::{Heartbeat, Machine, Profile};
use qat_node::{NodeState, Pulse, Verdict};
use qat_policy::health::{Beat, HealthRules, Reading, Recovery, Unclear};
use tokio::time::Instant;

use crate::machine::{Site, judged};

/// A site with the pulse of its PFs, some time into its life.
struct Ward {
    site: Site,
    pulse: Pulse,
    state: NodeState,
    now: Instant,
}

impl Ward {
    fn new() -> Self {
        let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
        let mut pulse = Pulse::new(
            &site.settings.roots,
            HealthRules::default(),
            &site.settings.state_dir,
        );
        let look = site.look();
        let now = Instant::now();
        pulse.attend(&look.inventory, now);
        let state = judged(&NodeState::default(), &look);
        let mut ward = Self {
            site,
            pulse,
            state,
            now,
        };
        ward.pass(1);
        ward
    }

    /// Lets so many checks of every PF pass, and returns whether a verdict changed.
    fn pass(&mut self, checks: u32) -> bool {
        let mut changed = false;
        for _ in 0..checks {
            self.now = self.now.max(self.pulse.due().unwrap());
            changed |= self.pulse.take(self.now);
        }
        changed
    }

    fn says(&self, alive: bool, queries_failed: u32) {
        let pf = self.site.node.pfs()[0];
        let heartbeat = Heartbeat {
            alive,
            queries_sent: 9,
            queries_failed,
        };
        self.site.node.set_heartbeat(pf, Some(heartbeat)).unwrap();
    }

    /// How many VFs are Unhealthy, and why the first is.
    fn unhealthy(&mut self) -> (usize, String) {
        self.site.looker.tell(self.pulse.sick());
        self.state = judged(&self.state, &self.site.look());
        let vfs = self.state.pools.values().flatten();
        let reasons: Vec<&String> = vfs
            .filter_map(|(_, vf)| match &vf.verdict {
                Verdict::Healthy => None,
                Verdict::Unhealthy { reason, .. } => Some(reason),
            })
            .collect();
        let first = reasons
            .first()
            .map_or_else(String::new, ToString::to_string);
        (reasons.len(), first)
    }
}

#[test]
fn the_vfs_of_a_pf_that_died_are_unhealthy_until_it_is_well_again() {
    let mut ward = Ward::new();
    assert_eq!(ward.unhealthy().0, 0);
    ward.says(false, 1);
    assert!(ward.pass(1));
    let (count, reason) = ward.unhealthy();
    assert_eq!(count, 16, "of the one PF");
    assert!(
        reason.contains("firmware does not answer (heartbeat"),
        "{reason}"
    );
    ward.says(true, 1);
    assert!(!ward.pass(2), "two good checks are not enough");
    assert_eq!(ward.unhealthy().0, 16);
    assert!(ward.pass(1));
    assert_eq!(ward.unhealthy().0, 0);
}

/// The false alarm of Intel's plugin: `-1` because somebody else has looked a moment ago.
#[test]
fn a_check_that_was_refused_is_no_failure() {
    let mut ward = Ward::new();
    ward.says(false, 0);
    assert!(!ward.pass(5));
    assert_eq!(ward.unhealthy().0, 0);
}

#[test]
fn without_debugfs_nothing_is_concluded() {
    let mut ward = Ward::new();
    fs::remove_dir_all(ward.site.settings.roots.debugfs.path()).unwrap();
    assert!(!ward.pass(5));
    assert_eq!(ward.unhealthy().0, 0);
}

#[test]
fn fatal_errors_that_rise_make_a_pf_sick() {
    let mut ward = Ward::new();
    let pf = ward.site.node.pfs()[0];
    let file = "qat_ras/errors_fatal";
    ward.site.node.write_attr(pf, file, b"1\n").unwrap();
    assert!(ward.pass(1));
    let (count, reason) = ward.unhealthy();
    assert_eq!(count, 16);
    assert!(reason.contains("1 fatal errors"), "{reason}");
}

/// A device that was started anew is another one.
#[test]
fn a_pf_that_goes_takes_its_verdict_with_it() {
    let mut ward = Ward::new();
    ward.says(false, 1);
    ward.pass(1);
    assert_eq!(ward.pulse.sick().len(), 1);
    let pf = ward.site.node.pfs()[0];
    ward.site.node.unplug(pf).unwrap();
    let look = ward.site.look();
    ward.pulse.attend(&look.inventory, ward.now);
    assert_eq!(ward.pulse.sick().len(), 0);
}

#[test]
fn a_pf_is_left_alone_for_as_long_as_it_wants() {
    let mut ward = Ward::new();
    let due = ward.pulse.due().unwrap();
    assert!(due - ward.now >= Duration::from_secs(2));
    assert!(!ward.pulse.take(ward.now));
    assert_eq!(
        ward.pulse.due(),
        Some(due),
        "too early, so nothing was read"
    );
}

/// A second plugin on the node reads what has no side effects, and takes over when the first has ended.
#[test]
fn one_process_checks_the_heartbeats_of_a_node() {
    let mut ward = Ward::new();
    let state_dir = ward.site.settings.state_dir.clone();
    fs::create_dir(&state_dir).unwrap();
    let rules = HealthRules::default();
    // One that began before there was a directory takes the lock when there is one.
    ward.pass(1);
    let taken = fs::read_dir(&state_dir).unwrap().count();
    assert_eq!(taken, 1, "the lock");
    ward.pulse = Pulse::new(&ward.site.settings.roots, rules, &state_dir);
    let mut first = Pulse::new(&ward.site.settings.roots, rules, &state_dir);
    let mut second = Pulse::new(&ward.site.settings.roots, rules, &state_dir);
    let look = ward.site.look();
    for pulse in [&mut first, &mut second] {
        pulse.attend(&look.inventory, ward.now);
        pulse.take(ward.now);
    }
    let beats = |pulse: &Pulse| {
        let beats = pulse
            .pfs()
            .map(|(_, health, _)| health.vitals().beat.clone());
        beats.collect::<Vec<_>>()
    };
    let here = |beat: &Reading<Beat>| *beat == Reading::Value(Beat::Alive);
    let elsewhere = |beat: &Reading<Beat>| *beat == Reading::Unknown(Unclear::Elsewhere);
    assert!(beats(&first).iter().all(here), "{:?}", beats(&first));
    assert!(beats(&second).iter().all(elsewhere), "{:?}", beats(&second));
    drop(first);
    second.take(second.due().unwrap());
    assert!(beats(&second).iter().any(here), "{:?}", beats(&second));
}

#[test]
fn a_pf_that_the_kernel_recovers_is_sick_until_checks_are_good() {
    let mut ward = Ward::new();
    let (pf, vf) = (ward.site.node.pfs()[0], ward.site.node.vfs()[0]);
    assert!(!ward.pulse.recovers(vf, Recovery::Begun, ward.now));
    assert!(ward.pulse.recovers(pf, Recovery::Begun, ward.now));
    let (count, reason) = ward.unhealthy();
    assert_eq!(count, 16);
    assert!(reason.contains("the kernel recovers it"), "{reason}");
    assert!(!ward.pulse.recovers(pf, Recovery::Succeeded, ward.now));
    assert!(ward.pass(3));
    assert_eq!(ward.unhealthy().0, 0);
}

#[test]
fn a_pf_that_left_the_bus_is_said_to() {
    let mut ward = Ward::new();
    let pf = ward.site.node.pfs()[0];
    ward.site.node.set_heartbeat(pf, None).unwrap();
    let ones = [0xff; 64];
    ward.site.node.write_attr(pf, "config", &ones).unwrap();
    // It is asked for when everything is.
    assert!(ward.pass(16));
    assert!(
        ward.unhealthy()
            .1
            .contains("does not answer on the PCI bus")
    );
}
