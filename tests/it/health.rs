//! A PF that dies and recovers, from its heartbeat to the kubelet.

use node_sim::{Heartbeat, Machine, Profile, ResourceView};
use tests::{DEADLINE, Scene};

const CY: &str = "qat.intel.com/cy";

#[tokio::test]
async fn the_kubelet_hears_of_a_pf_that_dies_and_of_its_recovery() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let daemon = scene.daemon(&["--rescan-interval=60m", "-v=2"]).unwrap();
    let healthy = |count| move |view: &ResourceView| view.allocatable == count;
    scene
        .kubelet
        .wait_for(CY, healthy(32), DEADLINE)
        .await
        .unwrap();
    // The PF whose VFs are this resource.
    let vf = scene.kubelet.resources()[CY].devices[0].id.clone();
    let of = |pf: &&_| {
        scene
            .node
            .vfs_of(**pf)
            .iter()
            .any(|one| one.to_string() == vf)
    };
    let pfs = scene.node.pfs();
    let pf = *pfs.iter().find(of).unwrap();
    let says = |alive, queries_failed| {
        let heartbeat = Heartbeat {
            alive,
            queries_sent: 9,
            queries_failed,
        };
        scene.node.set_heartbeat(pf, Some(heartbeat)).unwrap();
    };
    // The first check counts what was there before.
    let first = format!("checked pf={pf}");
    daemon.logged(&first, DEADLINE).await.unwrap();
    says(false, 1);
    let sick = scene.kubelet.wait_for(CY, healthy(16), DEADLINE).await;
    let view = sick.unwrap_or_else(|error| panic!("{error}\n{}", daemon.log()));
    assert_eq!(view.capacity, 32);
    says(true, 1);
    scene
        .kubelet
        .wait_for(CY, healthy(32), DEADLINE)
        .await
        .unwrap();
    let log = scene.end(daemon).await.unwrap();
    assert!(log.contains("its firmware does not answer"), "{log}");
}
