//! From what plugin and kubelet report to what has passed. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use device_plugin::pods::PodView;
use qat_node::config::ConfigStatus;
use qat_node::memory::{Memory, VfMemory};
use qat_node::{Verdict, resource_text};
use qat_policy::PoolName;
use sysfs_pci::PciAddress;

use super::Expected;

/// What plugin and kubelet report at one moment.
pub(super) struct Observed {
    /// What the plugin saved in this boot, if it did.
    pub(super) state: Result<Option<Memory>, String>,
    /// Where.
    pub(super) state_dir: PathBuf,
    /// Devices that the kubelet may allocate, by resource.
    pub(super) allocatable: Result<BTreeMap<String, BTreeSet<String>>, String>,
    /// Devices that are allocated to pods.
    pub(super) allocated: Arc<PodView>,
    /// Seconds since the epoch.
    pub(super) now: u64,
}

/// How a check stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Passed,
    /// It may pass without anything being done.
    Pending,
    Failed,
}

/// One check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Check {
    pub(super) outcome: Outcome,
    /// What was checked.
    pub(super) subject: String,
    pub(super) text: String,
}

fn check(outcome: Outcome, subject: impl Into<String>, text: String) -> Check {
    let subject = subject.into();
    Check {
        outcome,
        subject,
        text,
    }
}

/// Checks everything, the configuration first.
pub(super) fn checks(expected: Option<&Expected>, observed: &Observed) -> Vec<Check> {
    let state = match &observed.state {
        Ok(Some(state)) => state,
        Ok(None) => {
            let path = observed.state_dir.display();
            let text = format!("`{path}` has no state of this boot: no plugin has started here");
            return vec![check(Outcome::Pending, "plugin", text)];
        }
        Err(error) => return vec![check(Outcome::Pending, "plugin", error.clone())],
    };
    let mut checks = Vec::new();
    match (&state.config, expected) {
        (Some(status), _) => checks.push(configuration(expected, status, observed.now)),
        (None, Some(_)) => {
            let text = "the plugin reports no configuration file: it runs without `--config`, or is older than this program";
            checks.push(check(Outcome::Pending, "configuration", text.to_owned()));
        }
        (None, None) => {}
    }
    checks.extend(resources(state, observed));
    checks
}

/// Whether the expected version is in force, all of it.
fn configuration(expected: Option<&Expected>, status: &ConfigStatus, now: u64) -> Check {
    let verdict = |outcome, text| check(outcome, "configuration", text);
    let ago = |since: u64| age(now.saturating_sub(since));
    let in_force = short(&status.sha256);
    if let Some(Expected { path, sha256 }) = expected
        && status.sha256 != *sha256
    {
        if let Some(refused) = &status.refused
            && refused.sha256.as_ref() == Some(sha256)
        {
            let text = format!(
                "the plugin refused `{}` (sha256 {}) {} ago and keeps sha256 {in_force}: {}",
                path.display(),
                short(sha256),
                ago(refused.since),
                refused.error
            );
            return verdict(Outcome::Failed, text);
        }
        let text = format!(
            "`{}` has sha256 {}, and the plugin has sha256 {in_force} in force; a kubelet takes a minute or two to update the \
             ConfigMap of a running pod",
            path.display(),
            short(sha256)
        );
        return verdict(Outcome::Pending, text);
    }
    if let Some(refused) = &status.refused {
        // After a rollback the plugin may not have read this version again.
        let text = format!(
            "sha256 {in_force} is in force, and the plugin refused the version that it read last: {}",
            refused.error
        );
        return verdict(Outcome::Pending, text);
    }
    if !status.restart_required.is_empty() {
        let keys: Vec<&str> = status.restart_required.iter().map(String::as_str).collect();
        let text = format!(
            "sha256 {in_force} is in force except for {}; restart the plugin: `kubectl rollout restart daemonset`",
            keys.join(", ")
        );
        return verdict(Outcome::Failed, text);
    }
    let text = format!("sha256 {in_force} is in force for {}", ago(status.since));
    verdict(Outcome::Passed, text)
}

/// Whether the kubelet may allocate every healthy VF.
fn resources(state: &Memory, observed: &Observed) -> Vec<Check> {
    let allocatable = match &observed.allocatable {
        Ok(allocatable) => allocatable,
        Err(error) => return vec![check(Outcome::Pending, "kubelet", error.clone())],
    };
    let mut waits_for_pods = false;
    let mut checks = Vec::new();
    // The last VF has left an empty pool, and the plugin stops serving it.
    for (pool, vfs) in state.pools.iter().filter(|(_, vfs)| !vfs.is_empty()) {
        let resource = resource_text(pool);
        let count = allocatable.get(&resource).map_or(0, BTreeSet::len);
        let (outcome, text) = advertised(vfs, count, observed, &mut waits_for_pods);
        checks.push(check(outcome, resource, text));
    }
    if !state.entering.is_empty() {
        let count = state.entering.len();
        let text = format!("{count} VFs left one resource and enter another at the next scan");
        checks.push(check(Outcome::Pending, "resources", text));
    }
    let selected = state.config.iter().flat_map(|status| &status.selected);
    let missing = |pool: &&PoolName| !state.pools.contains_key(*pool);
    // VFs that belong there may still be allocated to pods in another pool.
    for pool in selected.filter(missing).filter(|_| !waits_for_pods) {
        let text = format!("pool `{pool}` of the configuration selects no VF of this node");
        checks.push(check(Outcome::Pending, resource_text(pool), text));
    }
    if checks.is_empty() {
        let text = "the plugin advertises no VF on this node; `qat-inspect check` says why";
        checks.push(check(Outcome::Pending, "resources", text.to_owned()));
    }
    checks
}

/// How a pool stands of which the kubelet may allocate `count` devices.
fn advertised(
    vfs: &BTreeMap<PciAddress, VfMemory>,
    count: usize,
    observed: &Observed,
    waits_for_pods: &mut bool,
) -> (Outcome, String) {
    let healthy = vfs.values().filter(|vf| vf.verdict == Verdict::Healthy);
    let healthy = healthy.count();
    let moving = vfs.iter().filter(|(_, vf)| has_code(&vf.verdict, "moves"));
    let (allocated, leaving): (Vec<_>, Vec<_>) = moving.partition(|(vf, _)| {
        let holdings = &observed.allocated.holdings;
        holdings.is_held(&vf.to_string())
    });
    *waits_for_pods |= !allocated.is_empty();
    if !leaving.is_empty() {
        let text = format!("{} VFs are moving to another resource", leaving.len());
        return (Outcome::Pending, text);
    }
    if count != healthy {
        let text = format!("the kubelet may allocate {count} of {healthy} healthy VFs");
        return (Outcome::Pending, text);
    }
    let elsewhere = vfs.values().filter(|vf| has_code(&vf.verdict, "held"));
    let others = vfs.values().filter_map(|vf| match &vf.verdict {
        Verdict::Unhealthy { code, reason } if code != "moves" && code != "held" => Some(reason),
        _ => None,
    });
    let others: Vec<&String> = others.collect();
    let counted = [
        (
            allocated.len(),
            "move to another resource when their pods end",
        ),
        (
            elsewhere.count(),
            "are allocated to pods as another resource",
        ),
    ];
    let counted = counted.into_iter().filter(|(count, _)| *count > 0);
    let mut parts = vec![format!("the kubelet may allocate {healthy} VFs")];
    parts.extend(counted.map(|(count, what)| format!("{count} {what}")));
    parts.extend(
        others
            .first()
            .map(|reason| format!("{} are unhealthy, the first: {reason}", others.len())),
    );
    let outcome = if healthy > 0 || others.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Pending
    };
    (outcome, parts.join("; "))
}

/// Whether a VF is unhealthy for this reason.
fn has_code(verdict: &Verdict, wanted: &str) -> bool {
    matches!(verdict, Verdict::Unhealthy { code, .. } if code == wanted)
}

/// The first digits of a digest, as `git` shows them.
fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use device_plugin::pods::{Holder, Holdings, Pod, Source};
    use qat_node::config::RefusedConfig;
    use tokio::time::Instant;

    use super::*;

    const CY: &str = "qat.intel.com/cy";

    fn expected(sha256: &str) -> Expected {
        Expected {
            path: "config.yaml".into(),
            sha256: sha256.to_owned(),
        }
    }

    fn unhealthy(code: &'static str) -> Verdict {
        Verdict::Unhealthy {
            code: code.into(),
            reason: format!("because of {code}"),
        }
    }

    /// A plugin with version `a` in force and a pool `cy` of these VFs, `allocatable` of which the kubelet may allocate.
    fn observed(verdicts: &[Verdict], allocatable: usize) -> Observed {
        let vfs = (1..).zip(verdicts).map(|(number, verdict)| {
            let vf = VfMemory {
                verdict: verdict.clone(),
                since: 1,
                pf: None,
                numa_node: None,
            };
            (format!("0000:6b:00.{number}").parse().unwrap(), vf)
        });
        let ids = (0..allocatable).map(|id| id.to_string());
        let state = Memory {
            config: Some(ConfigStatus {
                sha256: "a".to_owned(),
                since: 10,
                ..ConfigStatus::default()
            }),
            pools: [(PoolName::try_new("cy").unwrap(), vfs.collect())].into(),
            ..Memory::default()
        };
        Observed {
            state: Ok(Some(state)),
            state_dir: "state".into(),
            allocatable: Ok([(CY.to_owned(), ids.collect())].into()),
            allocated: Arc::new(PodView {
                asked: Instant::now(),
                settled: true,
                source: Source::Kubelet,
                holdings: Holdings::default(),
            }),
            now: 15,
        }
    }

    fn config(observed: &mut Observed) -> &mut ConfigStatus {
        let state = observed.state.as_mut().unwrap().as_mut().unwrap();
        state.config.as_mut().unwrap()
    }

    fn outcomes(expected: &Expected, observed: &Observed) -> Vec<Outcome> {
        let checks = checks(Some(expected), observed);
        checks.iter().map(|check| check.outcome).collect()
    }

    #[test]
    fn passes_with_this_version_and_all_healthy_vfs_allocatable() {
        let seen = observed(&[Verdict::Healthy, Verdict::Healthy, unhealthy("gone")], 2);
        let texts: Vec<_> = checks(Some(&expected("a")), &seen)
            .into_iter()
            .map(|check| (check.outcome, check.subject, check.text))
            .collect();
        let wanted = [
            ("configuration", "sha256 a is in force for 5 s"),
            (
                CY,
                "the kubelet may allocate 2 VFs; 1 are unhealthy, the first: because of gone",
            ),
        ];
        let wanted = wanted.map(|(one, two)| (Outcome::Passed, one.to_owned(), two.to_owned()));
        assert_eq!(texts, wanted);
    }

    #[test]
    fn waits_for_another_version_until_it_is_refused() {
        let mut seen = observed(&[Verdict::Healthy], 1);
        let wanted = expected("b");
        assert_eq!(outcomes(&wanted, &seen)[0], Outcome::Pending);
        config(&mut seen).refused = Some(RefusedConfig {
            sha256: Some("b".to_owned()),
            since: 12,
            error: "no `poolz`".to_owned(),
        });
        let check = checks(Some(&wanted), &seen).swap_remove(0);
        assert_eq!(check.outcome, Outcome::Failed);
        assert!(check.text.contains("no `poolz`"), "{}", check.text);
        // A rollback to the version in force, which the plugin has not read again.
        assert_eq!(outcomes(&expected("a"), &seen)[0], Outcome::Pending);
    }

    #[test]
    fn fails_until_a_restart_applies_the_rest() {
        let mut seen = observed(&[Verdict::Healthy], 1);
        config(&mut seen).restart_required = ["offer.driver".to_owned()].into();
        let check = checks(Some(&expected("a")), &seen).swap_remove(0);
        assert_eq!(check.outcome, Outcome::Failed);
        assert!(check.text.contains("offer.driver"), "{}", check.text);
    }

    #[test]
    fn waits_for_the_kubelet_and_for_healthy_vfs() {
        let healthy = || Verdict::Healthy;
        for (verdicts, allocatable) in [
            (vec![healthy(), healthy()], 1),
            (vec![healthy()], 0),
            (vec![unhealthy("gone")], 0),
            (vec![healthy(), unhealthy("moves")], 1),
        ] {
            let seen = observed(&verdicts, allocatable);
            assert_eq!(
                outcomes(&expected("a"), &seen)[1],
                Outcome::Pending,
                "{verdicts:?}"
            );
        }
        let mut seen = observed(&[healthy()], 1);
        seen.allocatable = Err("there is no kubelet".to_owned());
        assert_eq!(outcomes(&expected("a"), &seen)[1], Outcome::Pending);
    }

    #[test]
    fn vfs_that_wait_for_pods_are_as_they_should_be() {
        let mut seen = observed(&[unhealthy("moves")], 0);
        config(&mut seen).selected = [PoolName::try_new("fast").unwrap()].into();
        assert_eq!(
            outcomes(&expected("a"), &seen)[1..],
            [Outcome::Pending, Outcome::Pending]
        );
        let holder = Holder {
            pod: Pod::Named {
                namespace: "default".to_owned(),
                name: "vm".to_owned(),
            },
            container: "main".to_owned(),
        };
        let mut holdings = Holdings::default();
        holdings.insert(CY, "0000:6b:00.1", holder);
        Arc::get_mut(&mut seen.allocated).unwrap().holdings = holdings;
        assert_eq!(outcomes(&expected("a"), &seen)[1..], [Outcome::Passed]);
        let seen = observed(&[unhealthy("held")], 0);
        assert_eq!(outcomes(&expected("a"), &seen)[1], Outcome::Passed);
    }

    /// Between the old resource and the new one a VF is in neither.
    #[test]
    fn waits_for_vfs_between_two_resources() {
        let mut seen = observed(&[Verdict::Healthy], 1);
        let state = seen.state.as_mut().unwrap().as_mut().unwrap();
        state.entering = ["0000:6b:00.7".parse().unwrap()].into();
        assert_eq!(
            outcomes(&expected("a"), &seen)[1..],
            [Outcome::Passed, Outcome::Pending]
        );
    }

    #[test]
    fn a_selected_pool_without_vfs_and_a_node_without_any_fail() {
        let mut seen = observed(&[Verdict::Healthy], 1);
        config(&mut seen).selected = [PoolName::try_new("fast").unwrap()].into();
        let last = checks(Some(&expected("a")), &seen).pop().unwrap();
        assert_eq!(
            (last.outcome, last.subject.as_str()),
            (Outcome::Pending, "qat.intel.com/fast")
        );
        let mut seen = observed(&[], 0);
        seen.state.as_mut().unwrap().as_mut().unwrap().pools.clear();
        assert_eq!(outcomes(&expected("a"), &seen)[1], Outcome::Pending);
        seen.state = Ok(None);
        assert_eq!(outcomes(&expected("a"), &seen), [Outcome::Pending]);
    }
}
