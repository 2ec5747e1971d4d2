//! IOMMU groups with several members: our verdict is the kernel's.

use std::fs::write;
use std::io::ErrorKind;

use rustix::io::Errno;
use sysfs_pci::{DriverName, IommuGroupId, PciAddress, fs};
use vfio_host::bind::BindRefusal;
use vfio_host::{GroupFile, Viability, control_node, group_node, groups};

use super::{NO_ACS, cases};
use crate::bench::{Bench, vfio_pci};
use crate::guest::Guest;

cases![
    devices_behind_a_bridge_share_a_group,
    a_pf_and_its_vfs_without_acs_share_a_group,
    the_verdict_is_the_kernels_for_every_group,
];

/// The devices of the conventional bus, which the firmware numbers, and their bridge.
fn conventional(guest: &Guest) -> (PciAddress, PciAddress, IommuGroupId) {
    let sysfs = &guest.host.sysfs;
    let entries = fs::list(&sysfs.pci_devices()).unwrap();
    let addresses: Vec<PciAddress> = entries
        .iter()
        .map(|entry| entry.name.parse().unwrap())
        .collect();
    let find = |vendor, device| {
        let is_it = |it: &&PciAddress| {
            let id = sysfs_pci::identity(sysfs, **it).unwrap().id;
            (id.vendor, id.device) == (vendor, device)
        };
        *addresses.iter().find(is_it).unwrap()
    };
    let (edu, net) = (find(0x1234, 0x11e8), find(0x1af4, 0x1000));
    let group = sysfs_pci::iommu_group(sysfs, edu).unwrap().unwrap();
    assert_eq!(sysfs_pci::iommu_group(sysfs, net), Ok(Some(group)));
    (edu, net, group)
}

/// Has the kernel bind a function to `vfio-pci` or another driver, as a person would.
fn give(guest: &Guest, address: PciAddress, driver: &str) {
    unbind(guest, address);
    guest
        .write(address, "driver_override", &format!("{driver}\n"))
        .unwrap();
    write("/sys/bus/pci/drivers_probe", address.to_string()).unwrap();
}

fn unbind(guest: &Guest, address: PciAddress) {
    if let Some(old) = sysfs_pci::driver(&guest.host.sysfs, address).unwrap() {
        let file = format!("/sys/bus/pci/drivers/{old}/unbind");
        write(file, address.to_string()).unwrap();
    }
}

fn driver_is(guest: &Guest, address: PciAddress, driver: &str) -> bool {
    let driver: DriverName = driver.parse().unwrap();
    sysfs_pci::driver(&guest.host.sysfs, address).unwrap() == Some(driver)
}

/// Compares our verdict on a group with the kernel's, and returns it.
fn verdict(guest: &Guest, group: IommuGroupId) -> Viability {
    let ours = vfio_host::read_group(&guest.host.sysfs, group).unwrap();
    let ours = ours.viability(&guest.host.drivers);
    let node = group_node(&guest.host.dev, group).unwrap();
    let file = GroupFile::open(&node.host_path).unwrap();
    let viable = file.status().unwrap().viable;
    assert_eq!(viable, ours == Viability::Viable, "group {group}: {ours:?}");
    // What a workload would run into.
    let control = control_node(&guest.host.dev).unwrap();
    let container = vfio_host::ContainerFile::open(&control.host_path).unwrap();
    match file.set_container(&container) {
        Ok(()) => assert!(viable, "group {group}"),
        Err(error) => {
            assert_eq!(
                error.kind(),
                ErrorKind::PermissionDenied,
                "group {group}: {error}"
            );
            assert_eq!(error.raw_os_error(), Some(Errno::PERM.raw_os_error()));
            assert!(!viable, "group {group}");
        }
    }
    ours
}

fn devices_behind_a_bridge_share_a_group(guest: &Guest) {
    let (edu, net, group) = conventional(guest);
    assert!(driver_is(guest, net, "virtio-pci"));
    give(guest, edu, "vfio-pci");
    assert!(driver_is(guest, edu, "vfio-pci"));
    let Viability::Blocked { by } = verdict(guest, group) else {
        panic!("virtio-pci is in the way");
    };
    assert_eq!(by.len(), 1, "{by:?}");
    assert!(by[0].to_string().contains("virtio-pci"), "{by:?}");

    unbind(guest, net);
    assert_eq!(verdict(guest, group), Viability::Viable);

    // A stub that says nothing of the DMA that it does not do.
    give(guest, net, "pci-pf-stub");
    assert!(driver_is(guest, net, "pci-pf-stub"));
    assert!(matches!(verdict(guest, group), Viability::Blocked { .. }));

    give(guest, net, "vfio-pci");
    assert!(driver_is(guest, net, "vfio-pci"));
    assert_eq!(verdict(guest, group), Viability::Viable);
    give(guest, net, "virtio-pci");
    assert!(driver_is(guest, net, "virtio-pci"));
}

fn a_pf_and_its_vfs_without_acs_share_a_group(guest: &Guest) {
    let vfs = guest.make_vfs(NO_ACS);
    let group = sysfs_pci::iommu_group(&guest.host.sysfs, NO_ACS)
        .unwrap()
        .unwrap();
    for vf in &vfs {
        assert_eq!(
            sysfs_pci::iommu_group(&guest.host.sysfs, *vf),
            Ok(Some(group))
        );
    }
    let refusal = Bench::new().plan(vfs[0]).unwrap_err();
    let BindRefusal::NotViable { by, .. } = &refusal else {
        panic!("{refusal}");
    };
    assert_eq!(
        by.len(),
        1,
        "the port and the other VFs are harmless: {refusal}"
    );
    assert!(
        refusal.to_string().contains(&NO_ACS.to_string()),
        "{refusal}"
    );
    // Against our advice.
    give(guest, vfs[0], "vfio-pci");
    assert!(driver_is(guest, vfs[0], "vfio-pci"));
    assert!(matches!(verdict(guest, group), Viability::Blocked { .. }));
    guest.host.recheck(vfs[0], None).unwrap_err();
}

/// Every group that has a node, after what the cases before have left.
fn the_verdict_is_the_kernels_for_every_group(guest: &Guest) {
    let depth = qat_policy::depth;
    let snapshot = sysfs_pci::scan(&guest.host.sysfs, &depth).unwrap();
    let all = groups(&snapshot);
    let mut compared = 0;
    for (id, group) in all {
        if group_node(&guest.host.dev, id).is_ok() {
            assert_eq!(
                verdict(guest, id),
                group.viability(&guest.host.drivers),
                "group {id}"
            );
            compared += 1;
        }
    }
    assert!(compared >= 1, "no group has a node");
    let vfio = vfio_pci();
    let (edu, _, _) = conventional(guest);
    assert_eq!(sysfs_pci::driver(&guest.host.sysfs, edu), Ok(Some(vfio)));
}
