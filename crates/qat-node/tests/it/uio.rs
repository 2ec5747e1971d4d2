//! A node whose VFs are on `igb_uio`, on a machine without IOMMU.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use device_plugin::pods::Source;
use device_plugin::{AllocateError, DeviceId, DevicePlugin as _};
use node_sim::{Change, Machine, Profile};
use qat_node::{Ledger, NodeState, PoolBackend};
use sysfs_pci::PciAddress;
use tokio::time::Instant;

use crate::allocate::backend;
use crate::machine::{Site, judged};

fn site() -> Site {
    let machine = Machine::profile(Profile::C62x)
        .with(Change::NoIommu)
        .with(Change::NoControlNode)
        .with(Change::AllVfsOn(Some("igb_uio")));
    Site::with_drivers(machine, "igb_uio".parse().unwrap())
}

fn id(address: PciAddress) -> DeviceId {
    address.to_string().parse().unwrap()
}

async fn refusal(backend: &PoolBackend, vf: PciAddress) -> String {
    match backend.allocate(&[id(vf)]).await {
        Err(AllocateError::Refused { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_vf_comes_with_its_device_and_its_attributes() {
    let mut site = site();
    let backend = backend(&mut site);
    let vf = site.node.vfs()[3];
    let edits = backend.allocate(&[id(vf)]).await.unwrap();
    let nodes: Vec<_> = edits.devices.iter().map(|node| &node.host_path).collect();
    assert_eq!(nodes, [Path::new("/dev/uio3")]);
    let mounts: Vec<_> = edits.mounts.iter().map(|mount| &mount.host_path).collect();
    assert_eq!(mounts, [Path::new("/sys/class/uio/uio3/device")]);
    assert_eq!(edits.envs["QAT0"], vf.to_string());
}

#[tokio::test]
async fn allocate_looks_at_driver_and_node_again() {
    let mut site = site();
    let backend = backend(&mut site);
    let vf = site.node.vfs()[0];
    let node = site.node.dev().join("uio0");

    // Another device, then none.
    fs::remove_file(&node).unwrap();
    symlink("/dev/zero", &node).unwrap();
    let text = refusal(&backend, vf).await;
    assert!(text.contains("has the numbers 1:5"), "{text}");
    fs::remove_file(&node).unwrap();
    let text = refusal(&backend, vf).await;
    assert!(text.contains("/dev/uio0` is missing"), "{text}");
    symlink("/dev/null", &node).unwrap();
    backend.allocate(&[id(vf)]).await.unwrap();

    site.node.unbind(vf).unwrap();
    let text = refusal(&backend, vf).await;
    assert!(
        text.contains("has no driver; bind it to `igb_uio`"),
        "{text}"
    );
    site.node.bind(vf, "uio_pci_generic").unwrap();
    let text = refusal(&backend, vf).await;
    assert!(text.contains("is bound to `uio_pci_generic`"), "{text}");
    site.node.unplug(vf).unwrap();
    let text = refusal(&backend, vf).await;
    assert!(text.contains("no longer on this node"), "{text}");
}

/// The driver enables a VF itself, so that its enable count says nothing of users.
#[tokio::test]
async fn a_vf_that_leaves_goes_when_the_kubelet_says_that_nobody_holds_it() {
    let mut site = site();
    let vf = site.node.vfs()[0];
    site.node.set_enable(vf, 1).unwrap();
    let state = judged(&NodeState::default(), &site.look());
    assert_eq!(state.advertised().len(), 48);
    assert!(site.looker.open(&state.advertised()).is_empty());

    let view = site.settings.roots.pods().view().await;
    assert!(matches!(view.source, Source::Checkpoint { .. }));
    let mut ledger = Ledger::default();
    ledger.learn(Arc::clone(&view));
    ledger.see(site.looker.open(&state.advertised()));
    assert!(ledger.is_free(vf, view.asked));
    assert!(!ledger.is_free(vf, Instant::now()));
}
