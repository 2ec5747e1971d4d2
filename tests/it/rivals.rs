//! Two plugins for one resource: the first keeps it, the second says so and waits.

use node_sim::{Machine, Profile, ResourceView};
use tests::{DEADLINE, Scene, StandIn};

const CY: &str = "qat.intel.com/cy";

async fn scene() -> Scene {
    let machine = Machine::profile(Profile::Xeon4xxx);
    Scene::new(machine).await.unwrap()
}

fn served(registrations: u64) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.registrations == registrations
}

#[tokio::test]
async fn a_second_instance_disturbs_nothing_and_takes_over_when_the_first_ends() {
    let scene = scene().await;
    let first = scene.daemon(&[]).unwrap();
    let kubelet = &scene.kubelet;
    kubelet.wait_for(CY, served(1), DEADLINE).await.unwrap();
    let second = scene.daemon(&[]).unwrap();
    let path = scene.node.kubelet_dir().join("qat.intel.com-cy.sock");
    let complaint = format!(
        "socket `{}` is in use by another process; only one plugin may serve a resource",
        path.display()
    );
    second.logged(&complaint, DEADLINE).await.unwrap();
    kubelet.admit([(CY, 1)]).await.unwrap();
    let view = kubelet.resource(CY).unwrap();
    assert!(served(1)(&view), "the first was never disturbed: {view:?}");

    let (status, log) = first.terminate(DEADLINE).await.unwrap();
    assert!(status.success(), "{log}");
    kubelet.wait_for(CY, served(2), DEADLINE).await.unwrap();
    scene.end(second).await.unwrap();
}

#[tokio::test]
async fn a_live_plugin_of_another_make_keeps_its_resource_until_it_ends() {
    let scene = scene().await;
    let go = StandIn::start(&scene.node, CY).unwrap();
    let kubelet = &scene.kubelet;
    kubelet.wait_for(CY, served(1), DEADLINE).await.unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    daemon
        .logged("is in use by another process", DEADLINE)
        .await
        .unwrap();
    assert!(served(1)(&kubelet.resource(CY).unwrap()));
    go.stop().await;
    kubelet.wait_for(CY, served(2), DEADLINE).await.unwrap();
    let (status, log) = daemon.terminate(DEADLINE).await.unwrap();
    assert!(status.success(), "{log}");
}
