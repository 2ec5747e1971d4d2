//! What `deploy/monitoring` asks for is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use node_sim::{Heartbeat, Machine, Profile, ResourceView};
use serde_json::Value;
use tests::{DEADLINE, Scene};

use crate::admin::{get, until_some};

const CY: &str = "qat.intel.com/cy";

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/monitoring");
    fs::read_to_string(path.join(name)).unwrap()
}

/// The metrics of ours that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !word(c));
    words
        .filter(|word| word.starts_with("qat_plugin_"))
        .collect()
}

#[tokio::test]
async fn every_metric_that_is_asked_for_is_told() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let node = &scene.node;
    let daemon = scene.daemon(&["--admin=127.0.0.1:0", "-v=2"]).unwrap();
    let all = |view: &ResourceView| view.allocatable == 32;
    scene.kubelet.wait_for(CY, all, DEADLINE).await.unwrap();
    // A bit of everything, since what has not happened is not told.
    let pod = scene.kubelet.admit([(CY, 1)]).await.unwrap();
    assert!(scene.kubelet.delete(&pod));
    let pf = node.pfs()[0];
    let checked = format!("was checked pf={pf}");
    daemon.logged(&checked, DEADLINE).await.unwrap();
    let heartbeat = Heartbeat {
        alive: false,
        queries_sent: 9,
        queries_failed: 1,
    };
    node.set_heartbeat(pf, Some(heartbeat)).unwrap();
    let unhealthy = |line: &str| line.starts_with("qat_plugin_unhealthy{");
    until_some(&daemon, "/metrics", "Unhealthy VFs", unhealthy).await;
    let text = get(&daemon, "/metrics").await;
    let mut told = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let endings: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        told.extend(endings.iter().map(|ending| format!("{name}{ending}")));
    }
    for file in [
        file("alerts.yaml"),
        file("alerts.test.yaml"),
        file("dashboard.json"),
    ] {
        let missing: Vec<_> = named(&file)
            .into_iter()
            .filter(|name| !told.contains(*name))
            .collect();
        assert!(missing.is_empty(), "{missing:?} are not among {told:?}");
    }
    scene.end(daemon).await.unwrap();
}

#[test]
fn each_panel_of_the_dashboard_is_one_of_its_own() {
    let dashboard: Value = serde_json::from_str(&file("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    let titles: BTreeSet<_> = panels
        .iter()
        .map(|panel| panel["title"].as_str().unwrap())
        .collect();
    assert_eq!((ids.len(), titles.len()), (panels.len(), panels.len()));
}

#[test]
fn each_alert_has_a_test() {
    let (rules, tests) = (file("alerts.yaml"), file("alerts.test.yaml"));
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        let fires = format!("alertname: {alert}\n        exp_alerts:\n");
        let silent = format!("alertname: {alert}, exp_alerts: []");
        assert!(tests.contains(&fires), "no test has {alert} fire");
        assert!(tests.contains(&silent), "no test has {alert} silent");
    }
}
