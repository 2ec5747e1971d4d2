//! VFs on `igb_uio`, as the Go plugin hands them out.

use insta::assert_snapshot;
use node_sim::{Change, Machine, Profile, ResourceView};
use tests::{DEADLINE, Scene};

use crate::render;

const GENERIC: &str = "qat.intel.com/generic";

fn healthy(count: usize) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.allocatable == count
}

/// A machine without IOMMU and without VFIO, its VFs on `igb_uio`.
async fn scene() -> Scene {
    let machine = Machine::profile(Profile::C3xxx)
        .with(Change::NoIommu)
        .with(Change::NoControlNode)
        .with(Change::AllVfsOn(Some("igb_uio")));
    Scene::new(machine).await.unwrap()
}

#[tokio::test]
async fn a_pod_gets_the_node_and_the_attributes_of_its_vfs() {
    let scene = scene().await;
    let daemon = scene.daemon(&["-dpdk-driver", "igb_uio"]).unwrap();
    let view = scene
        .kubelet
        .wait_for(GENERIC, healthy(16), DEADLINE)
        .await
        .unwrap();
    let mut text = render::resource(&view);
    let pod = scene.kubelet.admit([(GENERIC, 2)]).await.unwrap();
    text.push_str("pod with 2\n");
    text.push_str(&render::pod(&pod));
    assert_snapshot!(text);
    daemon
        .logged("no IOMMU protects this node", DEADLINE)
        .await
        .unwrap();
    assert!(scene.kubelet.delete(&pod));
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn one_that_loses_its_driver_turns_unhealthy_and_comes_back() {
    let scene = scene().await;
    let daemon = scene.daemon(&["-dpdk-driver=igb_uio"]).unwrap();
    let wait = async |count| {
        let view = scene.kubelet.wait_for(GENERIC, healthy(count), DEADLINE);
        view.await.unwrap()
    };
    wait(16).await;
    let vf = scene.node.vfs()[0];
    scene.node.unbind(vf).unwrap();
    assert_eq!(wait(15).await.capacity, 16);
    scene.node.bind(vf, "igb_uio").unwrap();
    wait(16).await;
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn without_the_flag_such_vfs_are_not_offered() {
    let scene = scene().await;
    let daemon = scene.daemon(&[]).unwrap();
    daemon
        .logged("16 VFs (0000:01:01.0 to 0000:01:02.7)", DEADLINE)
        .await
        .unwrap();
    assert!(scene.kubelet.resources().is_empty());
    scene.end(daemon).await.unwrap();
}

/// One only: writes of several to one command file at once are more than the simulated kernel tells apart.
#[tokio::test]
async fn a_vf_without_a_driver_is_bound_to_it() {
    let scene = scene().await;
    let vf = scene.node.vfs()[0];
    scene.node.unbind(vf).unwrap();
    let reactor = scene.node.react().unwrap();
    let daemon = scene
        .daemon(&["-dpdk-driver=igb_uio", "--manage-binding=true"])
        .unwrap();
    scene
        .kubelet
        .wait_for(GENERIC, healthy(16), DEADLINE)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", daemon.log()));
    assert_eq!(scene.node.driver_of(vf).as_deref(), Some("igb_uio"));
    scene.kubelet.admit([(GENERIC, 16)]).await.unwrap();
    scene.end(daemon).await.unwrap();
    reactor.settle(DEADLINE).unwrap();
}
