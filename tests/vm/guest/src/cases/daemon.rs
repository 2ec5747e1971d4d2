//! `qat-plugin` as it is shipped, on the machine itself.

use std::fs::write;
use std::path::PathBuf;
use std::process::Command;

use node_sim::Pod;
use sysfs_pci::PciAddress;
use sysfs_pci::fs::stat;
use vfio_host::bind::BINDS;
use vfio_host::{DevRoot, StateDir, group_node};

use super::{GEN4, cases};
use crate::bench::Bench;
use crate::guest::{Guest, at, wait_until};
use crate::scene::Scene;

cases![
    vfs_are_bound_listed_and_allocated,
    a_second_start_changes_nothing,
    the_inspector_agrees_with_the_kernel,
    a_pf_that_is_removed_comes_back_healthy,
    a_pf_that_loses_its_driver_comes_back_healthy,
    a_pf_that_is_taken_down_comes_back_healthy,
    what_was_listed_is_listed_by_the_next_start_too,
    vfs_that_a_reset_has_made_anew_are_bound_again,
    a_pf_that_dies_makes_its_vfs_unhealthy_until_it_is_well,
];

const CY: &str = "qat.intel.com/cy";

/// The one VF that a pod holds.
fn held_by(pod: &Pod) -> PciAddress {
    at(&pod.devices[CY][0])
}

fn are_bound(guest: &Guest, vfs: &[PciAddress]) {
    for vf in vfs {
        guest.host.recheck(*vf, None).unwrap();
    }
}

fn vfs_are_bound_listed_and_allocated(guest: &Guest) {
    let vfs = guest.make_vfs(GEN4);
    let scene = Scene::new();
    let view = scene.wait_for(CY, 16, 16);
    let ids: Vec<_> = view.devices.iter().map(|device| at(&device.id)).collect();
    assert_eq!(ids, vfs);
    are_bound(guest, &vfs);
    let state = StateDir::open("/var/lib/kubelet/device-plugins/qat-plugin").unwrap();
    assert_eq!(state.addresses(BINDS).unwrap(), vfs);

    let pods = [scene.admit(CY), scene.admit(CY)];
    for pod in &pods {
        let vf = held_by(pod);
        let group = sysfs_pci::iommu_group(&guest.host.sysfs, vf)
            .unwrap()
            .unwrap();
        let group = group_node(&DevRoot::default(), group).unwrap();
        let given: Vec<_> = pod
            .answer
            .devices
            .iter()
            .map(|device| PathBuf::from(&device.host_path))
            .collect();
        assert!(
            given.contains(&PathBuf::from("/dev/vfio/vfio")),
            "{given:?}"
        );
        assert!(given.contains(&group.host_path), "{given:?}");
        assert!(
            pod.answer
                .envs
                .values()
                .any(|value| value.contains(&vf.to_string()))
        );
    }
    assert_ne!(held_by(&pods[0]), held_by(&pods[1]));
    // As two workloads would, at the same time.
    let bench = Bench::new();
    let _held = pods.map(|pod| bench.open(held_by(&pod)).unwrap());
    scene.end();
    for vf in vfs {
        assert!(
            sysfs_pci::driver(&guest.host.sysfs, vf).unwrap().is_some(),
            "{vf} is left bound"
        );
    }
}

fn a_second_start_changes_nothing(guest: &Guest) {
    let vfs = guest.make_vfs(GEN4);
    let node = |vf: &PciAddress| sysfs_pci::iommu_group(&guest.host.sysfs, *vf).unwrap();
    let before: Vec<_> = vfs.iter().map(node).collect();
    // An unbind by anybody would make the kernel take this away.
    let mark: Vec<_> = vfs
        .iter()
        .map(|vf| guest.attribute(*vf, "vfio-dev"))
        .collect();
    let inode = |path: &PathBuf| stat(path).unwrap().inode;
    let inodes: Vec<_> = mark.iter().map(inode).collect();
    let scene = Scene::new();
    scene.wait_for(CY, 16, 16);
    scene.end();
    assert_eq!(vfs.iter().map(node).collect::<Vec<_>>(), before);
    assert_eq!(mark.iter().map(inode).collect::<Vec<_>>(), inodes);
}

fn the_inspector_agrees_with_the_kernel(guest: &Guest) {
    are_bound(guest, &guest.make_vfs(GEN4));
    let check = Command::new("/bin/qat-inspect")
        .args(["check", "--probe", "--no-kubelet"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&check.stdout);
    assert_eq!(
        check.status.code(),
        Some(0),
        "{text}{}",
        String::from_utf8_lossy(&check.stderr)
    );
    let list = Command::new("/bin/qat-inspect")
        .arg("list")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&list.stdout);
    let offered = text.lines().filter(|line| line.contains("vfio-pci"));
    let offered = offered.filter(|line| line.trim_end().ends_with(CY));
    assert_eq!(offered.count(), 16, "{text}");
}

fn a_pf_that_is_removed_comes_back_healthy(guest: &Guest) {
    guest.make_vfs(GEN4);
    let scene = Scene::new();
    scene.wait_for(CY, 16, 16);
    let pod = scene.admit(CY);
    guest.write(GEN4, "remove", "1").unwrap();
    let view = scene.wait_for(CY, 1, 0);
    assert_eq!(
        at(&view.devices[0].id),
        held_by(&pod),
        "what a pod holds stays in the list"
    );
    write("/sys/bus/pci/rescan", "1").unwrap();
    wait_until("the PF is back", || {
        guest.attribute(GEN4, "driver").exists()
    });
    let vfs = guest.make_vfs(GEN4);
    scene.wait_for(CY, 16, 16);
    are_bound(guest, &vfs);
    scene.end();
}

fn a_pf_that_loses_its_driver_comes_back_healthy(guest: &Guest) {
    guest.make_vfs(GEN4);
    let scene = Scene::new();
    scene.wait_for(CY, 16, 16);
    let pod = scene.admit(CY);
    write("/sys/bus/pci/drivers/4xxx/unbind", GEN4.to_string()).unwrap();
    let view = scene.wait_for(CY, 1, 0);
    assert_eq!(at(&view.devices[0].id), held_by(&pod));
    write("/sys/bus/pci/drivers/4xxx/bind", GEN4.to_string()).unwrap();
    let vfs = guest.make_vfs(GEN4);
    scene.wait_for(CY, 16, 16);
    are_bound(guest, &vfs);
    scene.end();
}

/// An administrator changes the services: down, which takes the VFs, and up again.
fn a_pf_that_is_taken_down_comes_back_healthy(guest: &Guest) {
    guest.make_vfs(GEN4);
    let scene = Scene::new();
    scene.wait_for(CY, 16, 16);
    let pod = scene.admit(CY);
    guest.write(GEN4, "qat/state", "down").unwrap();
    let view = scene.wait_for(CY, 1, 0);
    assert_eq!(at(&view.devices[0].id), held_by(&pod));
    guest.write(GEN4, "qat/state", "up").unwrap();
    let vfs = guest.make_vfs(GEN4);
    scene.wait_for(CY, 16, 16);
    are_bound(guest, &vfs);
    scene.end();
}

/// VFs go while no plugin runs. The next one knows them, and does not drop them at once.
fn what_was_listed_is_listed_by_the_next_start_too(guest: &Guest) {
    guest.make_vfs(GEN4);
    let scene = Scene::new();
    scene.wait_for(CY, 16, 16);
    scene.end();
    write("/sys/bus/pci/drivers/4xxx/unbind", GEN4.to_string()).unwrap();
    let scene = Scene::new();
    scene.wait_for(CY, 16, 0);
    write("/sys/bus/pci/drivers/4xxx/bind", GEN4.to_string()).unwrap();
    guest.make_vfs(GEN4);
    scene.wait_for(CY, 16, 16);
    scene.end();
}

fn vfs_that_a_reset_has_made_anew_are_bound_again(guest: &Guest) {
    guest.make_vfs(GEN4);
    let scene = Scene::new();
    scene.wait_for(CY, 16, 16);
    write("/sys/module/fakeqat/parameters/reset_recreates_vfs", "Y").unwrap();
    write(format!("/sys/kernel/debug/fakeqat/{GEN4}/reset"), "1").unwrap();
    wait_until("the reset takes the VFs away", || {
        guest.vfs(GEN4).is_empty()
    });
    wait_until("it makes them anew", || guest.vfs(GEN4).len() == 16);
    let vfs = guest.vfs(GEN4);
    let driver = |vf: &PciAddress| sysfs_pci::driver(&guest.host.sysfs, *vf).unwrap();
    wait_until("they are bound again", || {
        vfs.iter().all(|vf| driver(vf).is_some())
    });
    scene.wait_for(CY, 16, 16);
    are_bound(guest, &vfs);
    scene.end();
}

/// The driver itself looks three times before it says that the firmware is dead.
fn a_pf_that_dies_makes_its_vfs_unhealthy_until_it_is_well(guest: &Guest) {
    guest.make_vfs(GEN4);
    let scene = Scene::new();
    scene.wait_for(CY, 16, 16);
    let fail = format!("/sys/kernel/debug/fakeqat/{GEN4}/fail");
    write(&fail, "1").unwrap();
    scene.wait_for(CY, 16, 0);
    write(&fail, "0").unwrap();
    scene.wait_for(CY, 16, 16);
    scene.end();
}
