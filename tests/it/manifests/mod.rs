//! Manifests as they are, with only the image changed: our binary runs where they put it.

mod container;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use node_sim::{Change, Machine, Profile, Reactor, ResourceView};
use serde_json::Value;
use tests::{DEADLINE, Scene, in_a_namespace, is_in_a_namespace};

use self::container::{Container, NODE};

const CY: &str = "qat.intel.com/cy";
const DC: &str = "qat.intel.com/dc";
const GENERIC: &str = "qat.intel.com/generic";

fn manifest(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// All objects of a file.
fn objects(path: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The data of a `ConfigMap`, by its name.
fn map(map: &Value) -> BTreeMap<String, BTreeMap<String, String>> {
    let data = map["data"].as_object().unwrap().iter();
    let data = data.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()));
    let name = map["metadata"]["name"].as_str().unwrap().to_owned();
    BTreeMap::from([(name, data.collect())])
}

/// A node of which nobody has made VFs, and its kernel.
async fn without_vfs() -> (Scene, Reactor) {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let pfs = machine.pfs();
    let scene = Scene::new(machine.with_each(pfs, Change::NoVfs));
    let scene = scene.await.unwrap();
    let kernel = scene.node.react().unwrap();
    (scene, kernel)
}

/// Runs an init container to its end.
async fn provision(scene: &Scene, init: &Container) {
    let root = scene.node.root().join("init");
    init.lay_out(&scene.node, &root);
    let running = init.start(&root, &["provision"], &[]);
    let (status, log) = running.ended(DEADLINE).await.unwrap();
    assert!(status.success(), "{status}: {log}");
}

fn healthy(count: usize) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.allocatable == count
}

#[test]
fn the_articles_configmap_and_daemonset() {
    in_a_namespace("manifests::article_inside").unwrap();
}

#[tokio::test]
#[ignore = "started by `the_articles_configmap_and_daemonset`"]
async fn article_inside() {
    if !is_in_a_namespace() {
        return;
    }
    let scene = Scene::new(Machine::profile(Profile::C62x)).await.unwrap();
    let maps = map(&manifest("deploy/kustomize/article/configmap.yaml"));
    let daemonset = manifest("deploy/kustomize/article/daemonset.yaml");
    let container = Container::new(&daemonset, "containers", &maps);
    let root = scene.node.root().join("container");
    container.lay_out(&scene.node, &root);
    let daemon = container.start(&root, &[], &[]);
    // Its MAX_NUM_DEVICES of 48 VFs.
    scene
        .kubelet
        .wait_for(GENERIC, healthy(32), DEADLINE)
        .await
        .unwrap();
    let pod = scene.kubelet.admit([(GENERIC, 1)]).await.unwrap();
    assert_eq!(pod.answer.envs["QAT0"], scene.node.vfs()[0].to_string());
    scene.end(daemon).await.unwrap();
}

#[test]
fn the_go_plugins_manifest_with_its_init_container() {
    in_a_namespace("manifests::intel_inside").unwrap();
}

/// Nobody has made VFs. Both images are changed, and the node becomes ready.
#[tokio::test]
#[ignore = "started by `the_go_plugins_manifest_with_its_init_container`"]
async fn intel_inside() {
    if !is_in_a_namespace() {
        return;
    }
    let (scene, kernel) = without_vfs().await;
    let conf = BTreeMap::from([
        ("qat.conf".to_owned(), "ServicesEnabled=dc\n".to_owned()),
        (
            format!("qat-{NODE}.conf"),
            "ServicesEnabled=sym;asym\n".to_owned(),
        ),
    ]);
    let maps = BTreeMap::from([("qat-config".to_owned(), conf)]);
    let daemonset = manifest("tests/it/manifests/intel-ds.yaml");

    provision(&scene, &Container::new(&daemonset, "initContainers", &maps)).await;
    let plugin = Container::new(&daemonset, "containers", &maps);
    let root = scene.node.root().join("container");
    plugin.lay_out(&scene.node, &root);
    let daemon = plugin.start(&root, &[], &[]);
    scene
        .kubelet
        .wait_for(CY, healthy(64), DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
    drop(kernel);
}

#[test]
fn our_own_manifest() {
    in_a_namespace("manifests::base_inside").unwrap();
}

#[tokio::test]
#[ignore = "started by `our_own_manifest`"]
async fn base_inside() {
    if !is_in_a_namespace() {
        return;
    }
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let daemonset = manifest("deploy/kustomize/base/ds.yaml");
    let container = Container::new(&daemonset, "containers", &BTreeMap::new());
    let root = scene.node.root().join("container");
    container.lay_out(&scene.node, &root);
    let daemon = container.start(&root, &[], &[]);
    for resource in [CY, DC] {
        scene
            .kubelet
            .wait_for(resource, healthy(32), DEADLINE)
            .await
            .unwrap();
    }
    daemon
        .logged("metrics and probes: http://[::]:9746/", DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
}

#[test]
fn what_the_chart_renders() {
    in_a_namespace("manifests::chart_inside").unwrap();
}

/// Provisioning, then the plugin over a read-only /sys, with the configuration of the values: all from the golden file.
#[tokio::test]
#[ignore = "started by `what_the_chart_renders`"]
async fn chart_inside() {
    if !is_in_a_namespace() {
        return;
    }
    let (scene, kernel) = without_vfs().await;
    let objects = objects("deploy/golden/chart-everything.yaml");
    let of = |kind: &str| objects.iter().find(|one| one["kind"] == kind).unwrap();
    let (daemonset, maps) = (of("DaemonSet"), map(of("ConfigMap")));

    provision(&scene, &Container::new(daemonset, "initContainers", &maps)).await;
    let plugin = Container::new(daemonset, "containers", &maps);
    let root = scene.node.root().join("container");
    plugin.lay_out(&scene.node, &root);
    let daemon = plugin.start(&root, &[], &[]);
    // Its configuration: services for all PFs, and a pool of the first eight VFs of each.
    let fast = "qat.intel.com/fast";
    for resource in [CY, fast] {
        scene
            .kubelet
            .wait_for(resource, healthy(32), DEADLINE)
            .await
            .unwrap();
    }
    assert!(
        scene
            .node
            .root()
            .join("var/run/cdi/qat.intel.com_fast.yaml")
            .exists()
    );
    let pod = scene.kubelet.admit([(fast, 1)]).await.unwrap();
    assert_eq!(pod.answer.envs["QAT0"], scene.node.vfs()[0].to_string());
    scene.end(daemon).await.unwrap();
    drop(kernel);
}
