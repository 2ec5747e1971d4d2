//! The inspector beside a running plugin.

use node_sim::{Machine, Profile, ResourceView};
use tests::{DEADLINE, Scene, inspector};

const CY: &str = "qat.intel.com/cy";

#[tokio::test]
async fn a_probe_leaves_alone_what_a_pod_was_just_given() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    let all = |view: &ResourceView| view.allocatable == 32;
    scene.kubelet.wait_for(CY, all, DEADLINE).await.unwrap();
    let pod = scene.kubelet.admit([(CY, 1)]).await.unwrap();
    // The pod has not opened its VF yet, so that nothing on the machine shows it.
    let node = &scene.node;
    let mut probe = inspector(node, "check").unwrap();
    let output = probe.arg("--probe").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let vf = node.vfs()[0];
    assert!(text.contains("0 of 64 IOMMU groups"), "{text}");
    assert!(text.contains("; in use: 1\n"), "{text}");
    let held = format!("holds {vf} of {CY}");
    assert!(text.contains(&held), "{text}");
    assert!(scene.kubelet.delete(&pod));
    scene.end(daemon).await.unwrap();
}
