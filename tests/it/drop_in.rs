//! Today's manifests of the Go plugin start ours, unchanged.

use node_sim::{Change, Machine, Profile, ResourceView};
use tests::{DEADLINE, Daemon, Scene};

/// The container args of the original article's `DaemonSet`, as the kubelet expands them.
const ARTICLE: [&str; 8] = [
    "-dpdk-driver",
    "vfio-pci",
    "-kernel-vf-drivers",
    "dh895xccvf,c6xxvf,c3xxxvf,d15xxvf",
    "-max-num-devices",
    "32",
    "-v",
    "1",
];

#[tokio::test]
async fn the_articles_args_start_the_plugin_unchanged() {
    let scene = Scene::new(Machine::profile(Profile::C62x)).await.unwrap();
    let daemon = scene.daemon(&ARTICLE).unwrap();
    let capped = |view: &ResourceView| view.allocatable == 32;
    scene
        .kubelet
        .wait_for("qat.intel.com/generic", capped, DEADLINE)
        .await
        .unwrap();
    // 48 VFs and a cap of 32: what is cut is said.
    daemon.logged("16 VFs", DEADLINE).await.unwrap();
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn so_does_the_environment_alone() {
    let scene = Scene::new(Machine::profile(Profile::C62x)).await.unwrap();
    let env = [
        ("DPDK_DRIVER", "vfio-pci"),
        ("KERNEL_VF_DRIVERS", "dh895xccvf,c6xxvf,c3xxxvf,d15xxvf"),
        ("MAX_NUM_DEVICES", "32"),
        ("VERBOSITY", "1"),
    ];
    let daemon = Daemon::start(scene.node.root(), &[], &env).unwrap();
    let capped = |view: &ResourceView| view.allocatable == 32;
    scene
        .kubelet
        .wait_for("qat.intel.com/generic", capped, DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn a_missing_configmap_key_is_named_and_the_default_used() {
    let scene = Scene::new(Machine::profile(Profile::C62x)).await.unwrap();
    let args = [
        "-dpdk-driver",
        "$(DPDK_DRIVER)",
        "-max-num-devices",
        "$(MAX_NUM_DEVICES)",
    ];
    let daemon = scene.daemon(&args).unwrap();
    daemon
        .logged("the ConfigMap lacks key MAX_NUM_DEVICES", DEADLINE)
        .await
        .unwrap();
    let all = |view: &ResourceView| view.allocatable == 48;
    scene
        .kubelet
        .wait_for("qat.intel.com/generic", all, DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn klog_flags_are_accepted_with_a_warning() {
    let scene = Scene::new(Machine::profile(Profile::C62x)).await.unwrap();
    let daemon = scene
        .daemon(&["-logtostderr=true", "-stderrthreshold", "2"])
        .unwrap();
    daemon
        .logged("klog flags without a meaning here", DEADLINE)
        .await
        .unwrap();
    let all = |view: &ResourceView| view.allocatable == 48;
    scene
        .kubelet
        .wait_for("qat.intel.com/generic", all, DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
}

/// A machine whose kernel lists the services in an order that is not the canonical one.
async fn dc_sym() -> Scene {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let pfs = machine.pfs();
    let machine = machine.with_each(pfs, |pf| Change::Services { pf, text: "dc;sym" });
    Scene::new(machine).await.unwrap()
}

#[tokio::test]
async fn as_read_names_keep_the_kernels_order() {
    let scene = dc_sym().await;
    let daemon = scene.daemon(&["--resource-names=as-read"]).unwrap();
    let all = |view: &ResourceView| view.allocatable == 64;
    scene
        .kubelet
        .wait_for("qat.intel.com/dc-sym", all, DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn names_are_canonical_by_default_and_the_log_shows_both() {
    let scene = dc_sym().await;
    let daemon = scene.daemon(&[]).unwrap();
    let all = |view: &ResourceView| view.allocatable == 64;
    scene
        .kubelet
        .wait_for("qat.intel.com/sym-dc", all, DEADLINE)
        .await
        .unwrap();
    daemon
        .logged("`qat.intel.com/dc-sym` as read", DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
}
