//! A VF that a pod holds under one name is given to nobody under another.

use std::time::Duration;

use node_sim::{Change, Machine, PodSpec, Profile, ResourceView, Restart};
use tests::{DEADLINE, Daemon, Scene, StandIn};

const AS_READ: &str = "qat.intel.com/dc-sym";
const CANONICAL: &str = "qat.intel.com/sym-dc";

/// Longer than a kubelet takes to settle and a VF to leave its pool.
const LONG: Duration = Duration::from_mins(1);

/// A node whose services have two spellings, with 64 VFs.
async fn two_spellings() -> Scene {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let pfs = machine.pfs();
    let machine = machine.with_each(pfs, |pf| Change::Services { pf, text: "dc;sym" });
    Scene::new(machine).await.unwrap()
}

fn free(count: usize) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.allocatable == count
}

fn pod(name: &str, resource: &str, count: usize) -> PodSpec {
    PodSpec::new(name).request(resource, count)
}

async fn restarted(scene: &Scene, daemon: Daemon, args: &[&str]) -> Daemon {
    let (status, log) = daemon.terminate(DEADLINE).await.unwrap();
    assert!(status.success(), "{log}");
    scene.daemon(args).unwrap()
}

#[tokio::test]
async fn renamed_vf_keeps_its_old_name_until_its_pod_is_gone() {
    let scene = two_spellings().await;
    let daemon = scene.daemon(&["--resource-names=as-read"]).unwrap();
    scene
        .kubelet
        .wait_for(AS_READ, free(64), DEADLINE)
        .await
        .unwrap();
    let vm = scene.kubelet.admit(pod("vm", AS_READ, 2)).await.unwrap();

    let daemon = restarted(&scene, daemon, &[]).await;
    let view = scene
        .kubelet
        .wait_for(CANONICAL, free(62), DEADLINE)
        .await
        .unwrap();
    assert_eq!(view.capacity, 62);
    assert_eq!(view.lists_received, 1, "the first list knows already");
    let mut held = vm.devices[AS_READ].clone();
    held.sort_unstable();
    let old = scene.kubelet.wait_for(AS_READ, free(0), DEADLINE);
    let old = old.await.unwrap();
    assert!(old.devices.iter().map(|device| &device.id).eq(&held));
    daemon
        .logged("it moves to pool `sym-dc`", DEADLINE)
        .await
        .unwrap();

    let rest = scene
        .kubelet
        .admit(pod("rest", CANONICAL, 62))
        .await
        .unwrap();
    assert!(rest.devices[CANONICAL].iter().all(|id| !held.contains(id)));
    let refused = scene.kubelet.admit(pod("more", CANONICAL, 1)).await;
    assert!(refused.is_err(), "{refused:?}");

    assert!(scene.kubelet.delete(&vm));
    scene
        .kubelet
        .wait_for(CANONICAL, free(64), LONG)
        .await
        .unwrap();
    let more = scene
        .kubelet
        .admit(pod("more", CANONICAL, 2))
        .await
        .unwrap();
    assert!(more.devices[CANONICAL].iter().all(|id| held.contains(id)));
    scene.end(daemon).await.unwrap();
}

#[tokio::test]
async fn a_switch_from_the_go_plugin_and_back_gives_no_vf_twice() {
    let scene = two_spellings().await;
    let go = StandIn::start(&scene.node, AS_READ).unwrap();
    let kubelet = &scene.kubelet;
    kubelet.wait_for(AS_READ, free(64), DEADLINE).await.unwrap();
    let first = kubelet.admit(pod("first", AS_READ, 2)).await.unwrap();
    let mut taken = first.devices[AS_READ].clone();
    go.stop().await;
    // The kubelet restarts too, as on an upgrade of the node, and has only its checkpoint.
    kubelet
        .restart(Restart::WipeSockets, Duration::ZERO)
        .await
        .unwrap();

    // Under another name: what the pod holds is not offered.
    let daemon = scene.daemon(&[]).unwrap();
    kubelet
        .wait_for(CANONICAL, free(62), DEADLINE)
        .await
        .unwrap();
    let second = kubelet.admit(pod("second", CANONICAL, 62)).await.unwrap();
    assert!(
        second.devices[CANONICAL]
            .iter()
            .all(|id| !taken.contains(id))
    );
    assert!(kubelet.delete(&second));

    // Under the same name: the kubelet itself keeps them apart, and the pod's VFs stay healthy.
    let daemon = restarted(&scene, daemon, &["--resource-names=as-read"]).await;
    kubelet.wait_for(AS_READ, free(64), LONG).await.unwrap();
    let third = kubelet.admit(pod("third", AS_READ, 2)).await.unwrap();
    taken.extend(third.devices[AS_READ].clone());

    // And back.
    scene.end(daemon).await.unwrap();
    let go = StandIn::start(&scene.node, AS_READ).unwrap();
    kubelet.wait_for(AS_READ, free(64), DEADLINE).await.unwrap();
    let fourth = kubelet.admit(pod("fourth", AS_READ, 60)).await.unwrap();
    taken.extend(fourth.devices[AS_READ].clone());
    let count = taken.len();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!((count, taken.len()), (64, 64), "no VF twice");
    go.stop().await;
}

#[tokio::test]
async fn services_that_change_move_a_vf_when_its_pod_is_gone() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    let (cy, dc) = ("qat.intel.com/cy", "qat.intel.com/dc");
    scene
        .kubelet
        .wait_for(cy, free(32), DEADLINE)
        .await
        .unwrap();
    scene
        .kubelet
        .wait_for(dc, free(32), DEADLINE)
        .await
        .unwrap();
    let vm = scene.kubelet.admit(pod("vm", cy, 1)).await.unwrap();
    let pf = scene.node.pfs()[0];
    let first: String = scene.node.vfs_of(pf)[0].to_string();
    assert_eq!(vm.devices[cy].concat(), first);

    scene.node.set_services(pf, "dc").unwrap();
    let moved = |view: &ResourceView| view.streaming && view.allocatable == 47;
    let view = scene.kubelet.wait_for(dc, moved, LONG).await.unwrap();
    assert!(view.devices.iter().all(|device| device.id != first));
    let left = |view: &ResourceView| view.capacity == 17 && view.allocatable == 16;
    scene.kubelet.wait_for(cy, left, DEADLINE).await.unwrap();

    assert!(scene.kubelet.delete(&vm));
    let all = |view: &ResourceView| view.allocatable == 48;
    scene.kubelet.wait_for(dc, all, LONG).await.unwrap();
    scene.end(daemon).await.unwrap();
}
