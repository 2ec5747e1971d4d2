//! What goes wrong with a machine, from the machine to the kubelet, the metrics and the inspector, and back.

use std::fs;
use std::process::Stdio;

use node_sim::{Heartbeat, Machine, PodSpec, Profile, ResourceView};
use serde_json::Value;
use sysfs_pci::PciAddress;
use tests::{DEADLINE, Daemon, Scene, inspector};
use tokio::process::Command;
use tokio::time::Instant;

use crate::admin::{until, until_some};

const CY: &str = "qat.intel.com/cy";

/// A node that is served, and one of its PFs with VFs of the resource.
struct Stage {
    scene: Scene,
    daemon: Daemon,
    pf: PciAddress,
}

impl Stage {
    async fn new(args: &[&str]) -> Self {
        let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
            .await
            .unwrap();
        let mut all = vec!["--admin=127.0.0.1:0", "-v=2"];
        all.extend(args);
        let daemon = scene.daemon(&all).unwrap();
        let fits = |view: &ResourceView| view.streaming && view.allocatable == 32;
        let view = scene.kubelet.wait_for(CY, fits, DEADLINE).await.unwrap();
        let vf = view.devices[0].id.parse().unwrap();
        let pfs = scene.node.pfs();
        let mine = pfs.iter().find(|pf| scene.node.vfs_of(**pf).contains(&vf));
        let pf = *mine.unwrap();
        // The first check counts what was there before.
        let first = format!("was checked pf={pf}");
        daemon.logged(&first, DEADLINE).await.unwrap();
        Self { scene, daemon, pf }
    }

    async fn healthy(&self, count: usize) -> ResourceView {
        let fits = |view: &ResourceView| view.streaming && view.allocatable == count;
        let view = self.scene.kubelet.wait_for(CY, fits, DEADLINE).await;
        view.unwrap_or_else(|error| panic!("{error}\n{}", self.daemon.log()))
    }

    /// Waits until the metrics have this line.
    async fn metric(&self, line: &str) {
        until(&self.daemon, "/metrics", &format!("qat_plugin_{line}")).await;
    }

    /// The codes of what `qat-inspect check` finds.
    async fn findings(&self) -> Vec<String> {
        let mut check = Command::from(inspector(&self.scene.node, "check").unwrap());
        check.args(["--json", "--for=qatlib"]);
        let output = check.stderr(Stdio::inherit()).output().await.unwrap();
        let checkup: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = checkup["findings"].as_array().unwrap().iter();
        let codes = findings.map(|finding| finding["code"].as_str().unwrap().to_owned());
        codes.collect()
    }

    /// Waits until `qat-inspect check` finds something of this code. The state is written beside the work.
    async fn found(&self, code: &str) {
        let began = Instant::now();
        loop {
            let findings = self.findings().await;
            if findings.iter().any(|found| found == code) {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "no `{code}` in {findings:?}");
        }
    }

    /// Waits until `qat-inspect check` finds nothing.
    async fn clean(&self) {
        let began = Instant::now();
        loop {
            let findings = self.findings().await;
            if findings.is_empty() {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "still {findings:?}");
        }
    }

    fn heartbeat(&self, alive: bool, queries_failed: u32) {
        let heartbeat = Heartbeat {
            alive,
            queries_sent: 9,
            queries_failed,
        };
        let node = &self.scene.node;
        node.set_heartbeat(self.pf, Some(heartbeat)).unwrap();
    }

    fn write(&self, attribute: &str, text: &str) {
        let node = &self.scene.node;
        node.write_attr(self.pf, attribute, text.as_bytes())
            .unwrap();
    }

    fn sick(&self, reason: &str) -> String {
        format!("pf_sick{{pf=\"{}\",reason=\"{reason}\"}} 1", self.pf)
    }

    async fn end(self) -> String {
        self.scene.end(self.daemon).await.unwrap()
    }
}

#[tokio::test]
async fn a_heartbeat_that_fails_is_told_everywhere_and_over_when_it_is_over() {
    let stage = Stage::new(&[]).await;
    stage.heartbeat(false, 1);
    stage.healthy(16).await;
    stage.metric(&stage.sick("heartbeat")).await;
    stage
        .metric(&format!(
            "unhealthy{{resource=\"{CY}\",reason=\"pf-sick\"}} 16"
        ))
        .await;
    let pf = stage.pf;
    stage
        .metric(&format!("pf_heartbeats_failed_total{{pf=\"{pf}\"}} 1"))
        .await;
    stage.found("pf-sick").await;
    stage.heartbeat(true, 1);
    stage.healthy(32).await;
    let log = stage.end().await;
    // A line for the change, however often it was looked and checked.
    assert_eq!(log.matches("Unhealthy: its PF").count(), 1, "{log}");
}

#[tokio::test]
async fn another_reader_that_checks_too_often_is_no_failure_and_is_told() {
    let stage = Stage::new(&[]).await;
    // The status says -1, and the driver has counted no failure.
    stage.heartbeat(false, 0);
    let refused = format!("qat_plugin_pf_checks_refused{{pf=\"{}\"}} ", stage.pf);
    let some = |line: &str| {
        let count = line.strip_prefix(&refused);
        count.is_some_and(|count| count.parse::<u32>().unwrap() >= 2)
    };
    until_some(&stage.daemon, "/metrics", &refused, some).await;
    stage.healthy(32).await;
    stage.heartbeat(true, 0);
    stage
        .metric(&format!("pf_checks_refused{{pf=\"{}\"}} 0", stage.pf))
        .await;
    let log = stage.end().await;
    assert!(!log.contains("Unhealthy"), "{log}");
}

#[tokio::test]
async fn fatal_errors_last_until_the_device_is_started_anew() {
    let stage = Stage::new(&[]).await;
    stage.write("qat_ras/errors_fatal", "3");
    stage.healthy(16).await;
    stage.metric(&stage.sick("fatal-errors")).await;
    let pf = stage.pf;
    let errors = format!("pf_errors_total{{pf=\"{pf}\",source=\"device\",severity=\"fatal\"}}");
    stage.metric(&format!("{errors} 3")).await;
    stage.found("pf-sick").await;
    stage.write("qat_ras/errors_fatal", "0");
    stage.healthy(32).await;
    stage.metric(&format!("{errors} 0")).await;
    stage.end().await;
}

#[tokio::test]
async fn a_pf_that_is_down_takes_its_heartbeat_along() {
    let stage = Stage::new(&[]).await;
    stage.write("qat/state", "down");
    let node = &stage.scene.node;
    node.set_heartbeat(stage.pf, None).unwrap();
    stage.healthy(16).await;
    stage.metric(&stage.sick("down")).await;
    stage.found("pf-sick").await;
    stage.write("qat/state", "up");
    stage.heartbeat(true, 0);
    stage.healthy(32).await;
    stage.end().await;
}

#[tokio::test]
async fn a_driver_that_is_unbound_and_vfs_that_are_made_anew_are_followed() {
    let stage = Stage::new(&[]).await;
    let node = &stage.scene.node;
    let vf = node.vfs_of(stage.pf)[3];
    node.unbind(vf).unwrap();
    stage.healthy(31).await;
    stage.metric("withheld{reason=\"not-bound\"} 1").await;
    stage.found("not-bound").await;
    node.bind(vf, "vfio-pci").unwrap();
    stage.healthy(32).await;

    // A reset takes the VFs, and makes them anew in other groups.
    let before = node.group_of(vf);
    node.disable_sriov(stage.pf).unwrap();
    let view = stage.healthy(16).await;
    assert_eq!(view.capacity, 32, "they may be held");
    stage
        .metric(&format!(
            "unhealthy{{resource=\"{CY}\",reason=\"gone\"}} 16"
        ))
        .await;
    node.enable_sriov(stage.pf).unwrap();
    for vf in node.vfs_of(stage.pf) {
        node.bind(vf, "vfio-pci").unwrap();
    }
    stage.healthy(32).await;
    assert!(node.group_of(vf).is_some() && before.is_some());
    stage.clean().await;
    let log = stage.end().await;
    assert!(log.contains("it is gone, with all VFs of its PF"), "{log}");
}

#[tokio::test]
async fn a_vf_that_flaps_is_kept_back_and_said_so() {
    let stage = Stage::new(&[]).await;
    let vf = stage.scene.node.vfs_of(stage.pf)[3];
    for nth in 1..=3 {
        stage.scene.node.unbind(vf).unwrap();
        stage.healthy(31).await;
        stage.scene.node.bind(vf, "vfio-pci").unwrap();
        if nth < 3 {
            stage.healthy(32).await;
        }
    }
    stage
        .metric(&format!(
            "unhealthy{{resource=\"{CY}\",reason=\"flapping\"}} 1"
        ))
        .await;
    stage.found("flapping").await;
    stage.end().await;
}

#[tokio::test]
async fn a_vf_that_vanishes_before_it_is_given_is_refused_with_a_sentence() {
    let stage = Stage::new(&["--rescan-interval=60m"]).await;
    for vf in stage.scene.node.vfs_of(stage.pf) {
        stage.scene.node.unplug(vf).unwrap();
    }
    let all = PodSpec::new("all").request(CY, 32);
    let error = stage.scene.kubelet.admit(all).await.unwrap_err();
    let error = error.to_string();
    // On a busy machine the plugin may have heard of it first, and the kubelet from the plugin, or not yet.
    let says = [
        "is no longer on this node",
        "is unhealthy: it is gone",
        "Requested: 32, Available: ",
    ];
    assert!(says.iter().any(|says| error.contains(says)), "{error}");
    // What is still there is given.
    let rest = PodSpec::new("rest").request(CY, 16);
    let pod = stage.scene.kubelet.admit(rest).await.unwrap();
    assert!(stage.scene.kubelet.delete(&pod));
    stage.end().await;
}

#[tokio::test]
async fn a_debugfs_that_says_nonsense_is_named_and_harms_nobody() {
    let stage = Stage::new(&[]).await;
    let debugfs = stage.scene.node.debugfs();
    let status = debugfs.join(format!("qat_4xxx_{}/heartbeat/status", stage.pf));
    // Files of the same content are one file.
    fs::remove_file(&status).unwrap();
    fs::write(&status, "perhaps\n").unwrap();
    let says = "holds `perhaps`, which is not 0 or -1";
    stage.daemon.logged(says, DEADLINE).await.unwrap();
    stage.healthy(32).await;
    stage.end().await;
}
