//! The daemon hears of changes: without a look for an hour it still tells the kubelet.

use node_sim::{Machine, Profile, ResourceView};
use tests::{DEADLINE, Daemon, Scene};

const CY: &str = "qat.intel.com/cy";

fn healthy(count: usize) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.allocatable == count
}

#[tokio::test]
async fn a_node_that_goes_and_comes_back_is_heard_of() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let args = ["--rescan-interval=60m", "--manage-binding=false"];
    let daemon = Daemon::start(scene.node.root(), &args, &[]).unwrap();
    scene
        .kubelet
        .wait_for(CY, healthy(32), DEADLINE)
        .await
        .unwrap();
    let vf = scene.node.vfs()[0];
    let group = scene.node.group_of(vf).unwrap();
    scene.node.remove_node(group).unwrap();
    scene
        .kubelet
        .wait_for(CY, healthy(31), DEADLINE)
        .await
        .unwrap();
    scene.node.add_node(group).unwrap();
    scene
        .kubelet
        .wait_for(CY, healthy(32), DEADLINE)
        .await
        .unwrap();
    scene.end(daemon).await.unwrap();
}
