//! Law 8: Allocate tells the truth about now, whatever the last list said.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::{fs, slice};

use device_plugin::{AllocateError, DeviceId, DevicePlugin as _, DeviceSet, Health, PreferRequest};
use node_sim::{Change, Machine, Profile};
use passthrough::VfioInterface;
use qat_node::pools::PoolSettings;
use qat_node::{Described, Given, Known, NodeState, PoolBackend, Recheck, Terms, resource_name};
use sysfs_pci::PciAddress;
use tokio::sync::{mpsc, watch};

use crate::machine::{Site, judged};

pub(crate) fn backend(site: &mut Site) -> PoolBackend {
    backend_with(site, PoolSettings::default(), Arc::default())
}

/// With these settings, where CDI files say this.
pub(crate) fn backend_with(
    site: &mut Site,
    settings: PoolSettings,
    described: Arc<Described>,
) -> PoolBackend {
    let state = judged(&NodeState::default(), &site.look());
    let pool = state.pools.keys().next().unwrap().clone();
    let devices = state.device_set(&pool, true);
    PoolBackend {
        resource: resource_name(&pool).unwrap(),
        pool,
        terms: watch::Sender::new(Terms {
            settings,
            recheck: Arc::new(Recheck::new(&site.settings.roots, &site.settings.rules())),
        })
        .subscribe(),
        described,
        given: Arc::<Given>::default(),
        state: watch::Sender::new(Arc::new(state)).subscribe(),
        devices: watch::Sender::new(Arc::new(devices)).subscribe(),
        calls: mpsc::unbounded_channel().0,
    }
}

fn id(address: PciAddress) -> DeviceId {
    address.to_string().parse().unwrap()
}

/// The kubelet may ask for a VF while it has not heard yet that it is unhealthy.
#[test]
fn of_an_unhealthy_vf_it_is_said_what_is_wrong() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let mut backend = backend(&mut site);
    let [well, sick] = [0, 1].map(|nth| site.node.vfs()[nth]);
    site.node.unbind(sick).unwrap();
    let before = NodeState::clone(&backend.state.borrow());
    let after = judged(&before, &site.look());
    backend.state = watch::Sender::new(Arc::new(after)).subscribe();
    let why = backend.why_unhealthy(&id(sick)).unwrap();
    assert!(why.contains("no driver is bound"), "{why}");
    assert_eq!(backend.why_unhealthy(&id(well)), None);
    assert_eq!(backend.why_unhealthy(&"other".parse().unwrap()), None);
}

/// It may have moved to another pool by then, which the list shows first.
#[tokio::test]
async fn vf_that_turned_unhealthy_meanwhile_is_not_allocated() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let mut backend = backend(&mut site);
    let vf = id(site.node.vfs()[0]);
    let healthy = Arc::clone(&backend.devices.borrow());
    let devices = healthy.iter().cloned().map(|mut device| {
        if device.id == vf {
            device.health = Health::Unhealthy;
        }
        device
    });
    let devices = DeviceSet::new(devices).unwrap();
    backend.devices = watch::Sender::new(Arc::new(devices)).subscribe();
    let error = backend.allocate(slice::from_ref(&vf)).await.unwrap_err();
    assert_eq!(error, AllocateError::Unhealthy { id: vf, why: None });
}

/// Allocates one VF after `change`, and expects a refusal that contains every part.
async fn refused(change: impl FnOnce(&Site, PciAddress), parts: &[&str]) {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let backend = backend(&mut site);
    let vf = site.node.vfs()[0];
    backend.allocate(&[id(vf)]).await.unwrap();
    change(&site, vf);
    let Err(AllocateError::Refused { reason }) = backend.allocate(&[id(vf)]).await else {
        panic!("allocated")
    };
    for part in parts {
        assert!(reason.contains(part), "`{part}` is not in `{reason}`");
    }
    // A VF of another PF of the same pool is not harmed.
    backend
        .allocate(&[id(site.node.vfs_of(site.node.pfs()[2])[0])])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_vf_that_is_gone() {
    refused(|site, vf| site.node.unplug(vf).unwrap(), &["0000:6b:00.1"]).await;
}

#[tokio::test]
async fn a_vf_without_driver() {
    refused(
        |site, vf| site.node.unbind(vf).unwrap(),
        &["0000:6b:00.1", "driver"],
    )
    .await;
}

#[tokio::test]
async fn a_vf_on_another_driver() {
    let rebind = |site: &Site, vf| {
        site.node.unbind(vf).unwrap();
        site.node.bind(vf, "uio_pci_generic").unwrap();
    };
    refused(rebind, &["0000:6b:00.1", "uio_pci_generic"]).await;
}

#[tokio::test]
async fn a_vf_that_somebody_has_open() {
    refused(
        |site, vf| site.node.set_enable(vf, 1).unwrap(),
        &["0000:6b:00.1", "open"],
    )
    .await;
}

#[tokio::test]
async fn a_vf_without_node() {
    let remove = |site: &Site, vf| {
        site.node
            .remove_node(site.node.group_of(vf).unwrap())
            .unwrap();
    };
    refused(remove, &["/dev/vfio/"]).await;
}

#[tokio::test]
async fn a_vf_whose_pf_serves_something_else_now() {
    let change = |site: &Site, _| site.node.set_services(site.node.pfs()[0], "dc").unwrap();
    refused(change, &["pool `dc`", "0000:6b:00.0"]).await;
}

#[tokio::test]
async fn a_vf_whose_pf_says_nonsense() {
    let change = |site: &Site, _| {
        site.node
            .set_services(site.node.pfs()[0], "quantum")
            .unwrap();
    };
    refused(change, &["0000:6b:00.0", "quantum"]).await;
}

#[tokio::test]
async fn a_vf_whose_pf_lost_its_driver() {
    let hide = |site: &Site, _| {
        let driver = site.node.device(site.node.pfs()[0]).join("driver");
        fs::remove_file(driver).unwrap();
    };
    refused(hide, &["0000:6b:00.0", "has no driver"]).await;
}

#[tokio::test]
async fn a_vf_that_lost_the_link_to_its_pf() {
    let hide = |site: &Site, vf| fs::remove_file(site.node.device(vf).join("physfn")).unwrap();
    refused(hide, &["0000:6b:00.1", "being removed"]).await;
}

#[tokio::test]
async fn what_a_look_withholds_is_refused_at_once() {
    let changes: [fn(PciAddress, PciAddress) -> Change<'static>; 5] = [
        |vf, _| Change::Driver {
            address: vf,
            driver: None,
        },
        |vf, _| Change::NoIommuGroup(vf),
        |vf, _| Change::NicInGroup {
            of: vf,
            driver: Some("ixgbe"),
        },
        |vf, _| Change::NoNode(vf),
        |_, pf| Change::PfOnVfio(pf),
    ];
    for profile in [Profile::Xeon4xxx, Profile::C62x] {
        let mut whole = Site::new(Machine::profile(profile));
        let state = judged(&NodeState::default(), &whole.look());
        let (pool, vfs) = state.pools.first_key_value().unwrap();
        let (vf, known) = vfs.first_key_value().unwrap();
        for change in changes {
            let change = change(*vf, known.pf.unwrap());
            let mut site = Site::new(Machine::profile(profile).with(change.clone()));
            let withheld: Vec<_> = site
                .look()
                .inventory
                .withheld()
                .map(|(vf, _)| vf.address)
                .collect();
            assert!(withheld.contains(vf), "{change:?}");
            let recheck = Recheck::new(&site.settings.roots, &site.settings.rules());
            let seen = Known {
                pf: known.pf,
                index: known.index,
                numa_node: known.numa_node,
            };
            for vf in withheld {
                assert!(
                    recheck.vf(vf, pool, &seen, VfioInterface::Group).is_err(),
                    "{vf} with {change:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_vf_that_would_be_refused_is_preferred_last() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let backend = backend(&mut site);
    let vfs = site.node.vfs();
    site.node.set_enable(vfs[0], 1).unwrap();
    site.node
        .remove_node(site.node.group_of(vfs[1]).unwrap())
        .unwrap();
    let request = |size| PreferRequest {
        available: vfs[..4].iter().copied().map(id).collect(),
        must_include: Vec::new(),
        size,
    };
    assert_eq!(backend.prefer(&request(2)).await, [id(vfs[2]), id(vfs[3])]);
    assert_eq!(
        backend.prefer(&request(4)).await.len(),
        4,
        "better a refusal than too few"
    );
}

#[tokio::test]
async fn an_id_that_is_no_address() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let backend = backend(&mut site);
    let error = backend
        .allocate(&["nonsense".parse().unwrap()])
        .await
        .unwrap_err();
    assert!(matches!(error, AllocateError::Unknown { .. }));
}

#[tokio::test]
async fn a_function_that_is_no_vf_of_ours() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let backend = backend(&mut site);
    for address in site.node.others().into_iter().chain(site.node.pfs()) {
        let error = backend.allocate(&[id(address)]).await.unwrap_err();
        assert!(error.to_string().contains("no QAT VF"), "{error}");
    }
}

#[tokio::test]
async fn the_answer_holds_exactly_the_vfs_asked_for() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let backend = backend(&mut site);
    let vfs = site.node.vfs();
    let edits = backend.allocate(&[id(vfs[3]), id(vfs[0])]).await.unwrap();
    assert_eq!(
        edits.envs["PCI_RESOURCE_QAT_INTEL_COM_CY"],
        format!("{},{}", vfs[0], vfs[3])
    );
    let nodes: BTreeSet<_> = edits
        .devices
        .iter()
        .map(|node| node.host_path.clone())
        .collect();
    let group = |vf| format!("/dev/vfio/{}", site.node.group_of(vf).unwrap());
    let expected = [group(vfs[0]), group(vfs[3]), "/dev/vfio/vfio".to_owned()];
    assert_eq!(nodes, expected.into_iter().map(Into::into).collect());
}
