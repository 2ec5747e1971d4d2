//! The kernel's events, real ones: storms, losses, nonsense and forgeries.
//!
//! Each story runs in a user and network namespace of its own, where an ordinary user may make the kernel send events.
//! The daemon has an hour between looks, so what it finds it has heard of.

use std::time::Instant;

use node_sim::{Machine, Profile, ResourceView, Uevents};
use rustix::process::{Pid, Signal, kill_process};
use sysfs_pci::PciAddress;
use tests::{DEADLINE, Daemon, Scene, in_a_namespace, is_in_a_namespace};

const CY: &str = "qat.intel.com/cy";
const STORM: usize = 10_000;

/// A node that is served, and the kernel's voice.
struct Stage {
    scene: Scene,
    daemon: Daemon,
    kernel: Uevents,
    /// VFs of the resource.
    vfs: Vec<PciAddress>,
}

impl Stage {
    async fn new() -> Self {
        let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
            .await
            .unwrap();
        let args = ["--rescan-interval=60m", "--manage-binding=false", "-v=2"];
        let daemon = Daemon::start(scene.node.root(), &args, &[]).unwrap();
        let stage = Self {
            daemon,
            kernel: Uevents::open().unwrap(),
            vfs: Vec::new(),
            scene,
        };
        let view = stage.healthy(32).await;
        let vfs = view.devices.iter().map(|device| device.id.parse().unwrap());
        // The first event tells that they arrive.
        let stage = Self {
            vfs: vfs.collect(),
            ..stage
        };
        stage.kernel.pci("change", stage.vfs[0]).unwrap();
        let heard = "the kernel's events arrive";
        stage.daemon.logged(heard, DEADLINE).await.unwrap();
        stage.looks_settle().await;
        stage
    }

    async fn healthy(&self, count: usize) -> ResourceView {
        let fits = |view: &ResourceView| view.streaming && view.allocatable == count;
        let view = self.scene.kubelet.wait_for(CY, fits, DEADLINE).await;
        view.unwrap_or_else(|error| panic!("{error}\n{}", self.daemon.log()))
    }

    /// How many looks there were so far.
    fn looks(&self) -> usize {
        looks(&self.daemon.log())
    }

    /// Waits for the look that the last event has asked for: the one of a VF that nothing happened to.
    async fn looks_settle(&self) {
        let before = self.looks();
        self.kernel.pci("change", self.vfs[1]).unwrap();
        let more = |log: &str| looks(log) > before;
        self.daemon.until("a look", more, DEADLINE).await.unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.daemon.pid().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    async fn end(self) {
        self.scene.end(self.daemon).await.unwrap();
    }
}

/// A look has a line when it ends.
fn looks(log: &str) -> usize {
    let ends = |line: &&str| line.contains(" look{") && line.contains(": close time.busy=");
    log.lines().filter(ends).count()
}

#[test]
fn a_storm_of_events_costs_a_few_looks_and_hides_nothing() {
    in_a_namespace("storms::storm_inside").unwrap();
}

#[tokio::test]
#[ignore = "started by `a_storm_of_events_costs_a_few_looks_and_hides_nothing`"]
async fn storm_inside() {
    if !is_in_a_namespace() {
        return;
    }
    let stage = Stage::new().await;
    let (before, began) = (stage.looks(), Instant::now());
    for nth in 0..STORM {
        let vf = stage.vfs[nth % stage.vfs.len()];
        if nth == STORM / 2 {
            stage.scene.node.unbind(stage.vfs[7]).unwrap();
        }
        stage.kernel.pci("change", vf).unwrap();
    }
    let view = stage.healthy(31).await;
    assert_eq!(view.capacity, 32);
    stage.scene.node.bind(stage.vfs[7], "vfio-pci").unwrap();
    stage.kernel.pci("bind", stage.vfs[7]).unwrap();
    stage.healthy(32).await;
    // No two looks are closer than the debounce, whatever the number of events.
    let looks = stage.looks() - before;
    let most = 4 + usize::try_from(began.elapsed().as_millis() / 50).unwrap();
    assert!(looks <= most, "{looks} looks, {most} at most");
    stage.end().await;
}

#[test]
fn after_lost_events_everything_is_looked_at() {
    in_a_namespace("storms::loss_inside").unwrap();
}

#[tokio::test]
#[ignore = "started by `after_lost_events_everything_is_looked_at`"]
async fn loss_inside() {
    if !is_in_a_namespace() {
        return;
    }
    let stage = Stage::new().await;
    // A daemon that does not get to run does not read its socket, which overflows.
    stage.signal(Signal::STOP);
    for nth in 0..STORM {
        stage.kernel.pci("change", stage.vfs[nth % 2]).unwrap();
    }
    // Of this one no event is left.
    stage.scene.node.unbind(stage.vfs[9]).unwrap();
    stage.kernel.pci("unbind", stage.vfs[9]).unwrap();
    stage.signal(Signal::CONT);
    stage.healthy(31).await;
    let lost = stage.daemon.logged("events were lost", DEADLINE).await;
    lost.unwrap();
    stage.end().await;
}

#[test]
fn nonsense_and_forgeries_are_passed_over() {
    in_a_namespace("storms::nonsense_inside").unwrap();
}

#[tokio::test]
#[ignore = "started by `nonsense_and_forgeries_are_passed_over`"]
async fn nonsense_inside() {
    if !is_in_a_namespace() {
        return;
    }
    let stage = Stage::new().await;
    let hints = || stage.daemon.log().matches(": a hint to look").count();
    let before = hints();
    let path = format!("/devices/pci0000:00/{}", stage.vfs[3]);
    let forged = format!("unbind@{path}\0ACTION=unbind\0SUBSYSTEM=pci\0");
    stage.kernel.forged(forged.as_bytes()).unwrap();
    for event in [
        "no header\0",
        "unbind@",
        "@\0",
        "\0\0\0\0",
        "unbind\0SUBSYSTEM=pci\0",
        "change@/devices/x ACTION=change SUBSYSTEM=pci DEVPATH=/devices/x",
        "change@/devices/virtual/net/veth0\0SUBSYSTEM=net\0",
    ] {
        stage.kernel.through_the_kernel(event.as_bytes()).unwrap();
    }
    let bytes = [
        &b"bind@/devices/\xff\xfe\0SUBSYSTEM=\xff\0"[..],
        &[0xff; 2000],
    ];
    for event in bytes {
        stage.kernel.through_the_kernel(event).unwrap();
    }
    // Events come in order: when this one is heard the others were.
    stage.looks_settle().await;
    assert_eq!(hints() - before, 1, "{}", stage.daemon.log());
    stage.scene.node.unbind(stage.vfs[4]).unwrap();
    stage.kernel.pci("unbind", stage.vfs[4]).unwrap();
    stage.healthy(31).await;
    stage.end().await;
}
