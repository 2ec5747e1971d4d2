//! A rejected `Allocate` or `PreStartContainer` is evidence: the VF turns unhealthy before the next pod gets it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;

use node_sim::{AdmissionError, Machine, Profile, ResourceView};
use serde_json::Value;
use sysfs_pci::PciAddress;
use tests::{DEADLINE, Daemon, Scene, binary};
use tokio::process::Command;
use tokio::time::Instant;

use crate::admin;

const CY: &str = "qat.intel.com/cy";
const DC: &str = "qat.intel.com/dc";

/// What another writer may have left in a CDI directory.
const FOREIGN: &str = "cdiVersion: 0.5.0\nkind: example.com/other\n";

fn healthy(count: usize) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.allocatable == count
}

/// A node with 32 VFs of a resource, whose plugin scans by itself once an hour.
struct Stage {
    scene: Scene,
    daemon: Daemon,
    cdi: PathBuf,
}

impl Stage {
    async fn new(pools: &str) -> Self {
        Self::with_file(pools, None).await
    }

    /// With a file of another writer in the CDI directory.
    async fn with_file(pools: &str, foreign: Option<&str>) -> Self {
        let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
            .await
            .unwrap();
        let root = scene.node.root();
        let (config, cdi) = (root.join("config.yaml"), root.join("cdi"));
        fs::write(&config, format!("version: 1\npools: {pools}\n")).unwrap();
        fs::create_dir(&cdi).unwrap();
        if let Some(name) = foreign {
            fs::write(cdi.join(name), FOREIGN).unwrap();
        }
        let args = [
            format!("--config={}", config.display()),
            format!("--cdi-dir={}", cdi.display()),
            "--rescan-interval=60m".to_owned(),
            "--admin=127.0.0.1:0".to_owned(),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let daemon = scene.daemon(&args).unwrap();
        let stage = Self { scene, daemon, cdi };
        stage.healthy(32).await;
        stage
    }

    async fn healthy(&self, count: usize) {
        let view = self.scene.kubelet.wait_for(CY, healthy(count), DEADLINE);
        let view = view.await;
        assert!(view.is_ok(), "{view:?}\n{}", self.daemon.log());
    }

    /// The VFs of the resource.
    fn vfs(&self) -> Vec<PciAddress> {
        let devices = self.scene.kubelet.resource(CY).unwrap().devices;
        let ids = devices.iter().map(|device| device.id.parse().unwrap());
        ids.collect()
    }

    /// Takes the driver from a VF without an event: no device node goes.
    fn lose_driver(&self, vf: PciAddress) {
        fs::remove_file(self.scene.node.device(vf).join("driver")).unwrap();
    }

    fn regain_driver(&self, vf: PciAddress) {
        let drivers = self.scene.node.sysfs().join("bus/pci/drivers/vfio-pci");
        symlink(drivers, self.scene.node.device(vf).join("driver")).unwrap();
    }

    /// Admits pods of one VF as a Deployment does, which replaces each pod that fails: how many run, and what the plugin
    /// said to those that it rejected.
    async fn deploy(&self, replicas: usize) -> (usize, Vec<String>) {
        let (mut running, mut rejected) = (0, Vec::new());
        for _ in 0..3 * replicas {
            match self.scene.kubelet.admit([(CY, 1)]).await {
                Ok(_) => running += 1,
                Err(AdmissionError::Allocate { message, .. }) => rejected.push(message),
                // The scheduler would leave the pod pending.
                Err(_) => {}
            }
            if running == replicas {
                break;
            }
        }
        (running, rejected)
    }

    /// The findings of `qat-inspect check`: code and text.
    async fn findings(&self) -> Vec<(String, String)> {
        let node = &self.scene.node;
        let output = Command::new(binary("qat-inspect").unwrap())
            .args(["check", "--json", "--for=qatlib"])
            .arg(format!("--sysfs-root={}", node.sysfs().display()))
            .arg(format!("--dev-root={}", node.dev().display()))
            .arg(format!("--kubelet-dir={}", node.kubelet_dir().display()))
            .stderr(Stdio::inherit())
            .output()
            .await
            .unwrap();
        let checkup: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = checkup["findings"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        findings
            .map(|finding| (text(&finding["code"]), text(&finding["text"])))
            .collect()
    }

    /// Waits for a finding, and returns its text. The plugin saves its state in the background.
    async fn finding(&self, code: &str) -> String {
        let began = Instant::now();
        loop {
            let findings = self.findings().await;
            if let Some((_, text)) = findings.iter().find(|(found, _)| found == code) {
                return text.clone();
            }
            assert!(began.elapsed() < DEADLINE, "no `{code}` in {findings:?}");
        }
    }

    async fn end(self) -> String {
        self.scene.end(self.daemon).await.unwrap()
    }
}

#[tokio::test]
async fn silent_driver_loss_rejects_few_pods_and_recovers() {
    let stage = Stage::new("[]").await;
    let lost = stage.vfs()[7];
    stage.lose_driver(lost);
    let (running, rejected) = stage.deploy(32).await;
    assert_eq!(running, 31);
    assert!((1..=3).contains(&rejected.len()), "{rejected:#?}");
    stage.healthy(31).await;
    stage.finding("not-bound").await;
    let line = format!("qat_plugin_unhealthy{{resource=\"{CY}\",reason=\"not-bound\"}} 1");
    admin::until(&stage.daemon, "/metrics", &line).await;

    // No event says that it is back either.
    stage.regain_driver(lost);
    stage.healthy(32).await;
    assert_eq!(stage.deploy(1).await, (1, Vec::new()));
    stage.end().await;
}

#[tokio::test]
async fn silent_loss_of_all_drivers_rejects_few_pods() {
    let stage = Stage::new("[]").await;
    for vf in stage.vfs() {
        stage.lose_driver(vf);
    }
    let (running, rejected) = stage.deploy(32).await;
    assert_eq!(running, 0);
    assert!((1..=3).contains(&rejected.len()), "{rejected:#?}");
    stage.healthy(0).await;
    stage.end().await;
}

#[tokio::test]
async fn vf_in_use_turns_unhealthy_and_is_not_damped() {
    let stage = Stage::new("[]").await;
    let vf = stage.vfs()[0];
    for _ in 0..3 {
        stage.scene.node.set_enable(vf, 1).unwrap();
        let error = stage.scene.kubelet.admit([(CY, 32)]).await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains("is open"), "{error}");
        assert!(error.contains("recreate the pod"), "{error}");
        stage.healthy(31).await;
        let text = stage.finding("in-use").await;
        assert!(text.contains(&vf.to_string()), "{text}");
        stage.scene.node.set_enable(vf, 0).unwrap();
        stage.healthy(32).await;
    }
    let log = stage.end().await;
    assert!(!log.contains("it came and went"), "{log}");
}

/// A container that restarts holds its VF: what was found for it is for the next pod too.
#[tokio::test]
async fn rejected_container_start_turns_vf_unhealthy_until_it_can_start() {
    let stage = Stage::new("[]").await;
    let pod = stage.scene.kubelet.admit([(CY, 1)]).await.unwrap();
    let vf: PciAddress = pod.devices[CY][0].parse().unwrap();
    stage.scene.node.set_enable(vf, 1).unwrap();
    stage.lose_driver(vf);
    let error = stage.scene.kubelet.restart_container(&pod).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains(&format!("{vf} has no driver")), "{error}");
    // The container starts by itself, so the pod need not be touched.
    assert!(error.contains("the kubelet retries"), "{error}");
    assert!(!error.contains("recreate"), "{error}");
    stage.healthy(31).await;
    // It is open all the time.
    stage.regain_driver(vf);
    stage.healthy(32).await;
    stage.scene.kubelet.restart_container(&pod).await.unwrap();
    stage.end().await;
}

/// It concerns the VFs of its resource, whether it was there first or came later.
#[tokio::test]
async fn foreign_cdi_file_makes_vfs_unhealthy_until_it_is_gone() {
    let [cy, dc] = ["qat.intel.com_cy.yaml", "qat.intel.com_dc.yaml"];
    let stage = Stage::with_file("[{cdi: field}]", Some(dc)).await;
    let listed = |view: &ResourceView| view.capacity == 32;
    let kubelet = &stage.scene.kubelet;
    let view = kubelet.wait_for(DC, listed, DEADLINE).await.unwrap();
    assert_eq!(view.allocatable, 0);
    let says = |resource: &'static str| {
        move |line: &str| line.starts_with(resource) && line.contains("not written by this plugin")
    };
    let daemon = &stage.daemon;
    admin::until_some(daemon, "/readyz", "the foreign file", says(DC)).await;
    let text = stage.finding("cdi-foreign").await;
    assert!(text.contains(dc), "{text}");
    fs::remove_file(stage.cdi.join(dc)).unwrap();
    kubelet.wait_for(DC, healthy(32), DEADLINE).await.unwrap();
    admin::until(daemon, "/readyz", "ok").await;

    fs::write(stage.cdi.join(cy), FOREIGN).unwrap();
    // A rejection of whatever kind makes the plugin look.
    let vf: PciAddress = kubelet.resource(DC).unwrap().devices[0].id.parse().unwrap();
    stage.lose_driver(vf);
    kubelet.admit([(DC, 32)]).await.unwrap_err();
    stage.healthy(0).await;
    admin::until_some(daemon, "/readyz", "the foreign file", says(CY)).await;
    fs::remove_file(stage.cdi.join(cy)).unwrap();
    stage.healthy(32).await;
    let pod = kubelet.admit([(CY, 1)]).await.unwrap();
    assert_eq!(pod.answer.cdi_devices.len(), 1);
    stage.end().await;
}
