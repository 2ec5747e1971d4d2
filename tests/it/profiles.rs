//! Every machine we know: what its kubelet sees and what its pods get, as golden files.

use std::fmt::Write as _;

use insta::assert_snapshot;
use node_sim::{Machine, Profile};
use tests::{DEADLINE, Scene};

use crate::render;

/// Serves one machine, waits for its resources and asks for one and for two VFs of each.
async fn story(profile: Profile, resources: &[(&str, usize)]) -> String {
    let scene = Scene::new(Machine::profile(profile)).await.unwrap();
    let daemon = scene.daemon(&[]).unwrap();
    let mut text = String::new();
    for (name, count) in resources {
        let view = scene
            .kubelet
            .wait_for(name, |view| view.allocatable == *count, DEADLINE)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", daemon.log()));
        text.push_str(&render::resource(&view));
        for wanted in [1, 2] {
            let pod = scene.kubelet.admit([(*name, wanted)]).await.unwrap();
            writeln!(text, "pod with {wanted} of {name}").unwrap();
            text.push_str(&render::pod(&pod));
            assert!(scene.kubelet.delete(&pod));
        }
    }
    let names: Vec<String> = scene.kubelet.resources().into_keys().collect();
    assert_eq!(
        names,
        resources
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect::<Vec<_>>()
    );
    scene.end(daemon).await.unwrap();
    text
}

macro_rules! profiles {
    ($($test:ident: $profile:expr => [$(($name:expr, $count:expr)),*];)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                assert_snapshot!(story($profile, &[$(($name, $count)),*]).await);
            }
        )*
    };
}

profiles! {
    c62x: Profile::C62x => [("qat.intel.com/generic", 48)];
    xeon_4xxx: Profile::Xeon4xxx => [("qat.intel.com/cy", 32), ("qat.intel.com/dc", 32)];
    xeon_4xxx_two_sockets: Profile::Xeon4xxxTwoSockets => [("qat.intel.com/cy", 64), ("qat.intel.com/dc", 64)];
    x401xx: Profile::X401xx => [("qat.intel.com/cy", 32), ("qat.intel.com/dc", 32)];
    x402xx: Profile::X402xx => [("qat.intel.com/cy", 32), ("qat.intel.com/dc", 32)];
    dh895xcc: Profile::Dh895xcc => [("qat.intel.com/generic", 32)];
    c3xxx: Profile::C3xxx => [("qat.intel.com/generic", 16)];
    x420xx: Profile::X420xx => [("qat.intel.com/cy", 16), ("qat.intel.com/dc", 16)];
    x6xxx: Profile::X6xxx => [("qat.intel.com/cy", 16), ("qat.intel.com/dc", 16)];
    guest_4xxx: Profile::Guest4xxx => [("qat.intel.com/generic", 2)];
    guest_c62x: Profile::GuestC62x => [("qat.intel.com/generic", 2)];
}
