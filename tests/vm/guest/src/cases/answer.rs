//! What an answer to Allocate is worth: who has nothing but it opens the VF, in a program and in a virtual machine, and
//! nobody else does.

use std::process::{Child, Stdio};

use node_sim::{ContainerAnswer, Pod};

use super::{GEN4, cases};
use crate::container::{Container, Owner};
use crate::guest::{Guest, at};
use crate::holder::ends_within;
use crate::qmp::Qmp;
use crate::scene::{DEADLINE, Scene};

cases![
    an_ordinary_user_opens_its_vfs_with_the_answer_alone,
    another_container_cannot_open_them,
    a_node_that_is_roots_stays_roots,
    a_virtual_machine_receives_one_vf,
    a_virtual_machine_receives_two_vfs,
];

const CY: &str = "qat.intel.com/cy";

/// What a VF of the device is.
const VF: (u64, u64) = (0x8086, 0x4941);

/// A node that serves 16 VFs.
fn serve(guest: &Guest) -> Scene {
    guest.make_vfs(GEN4);
    let scene = Scene::new();
    scene.wait_for(CY, 16, 16);
    scene
}

fn sorted(pod: &Pod) -> Vec<String> {
    let mut vfs = pod.devices[CY].clone();
    vfs.sort_by_key(|vf| at(vf));
    vfs
}

fn an_ordinary_user_opens_its_vfs_with_the_answer_alone(guest: &Guest) {
    let scene = serve(guest);
    for count in [1, 2] {
        let pod = scene.admit_with(CY, count);
        let container = Container::new("/run/container", &pod.answer, Owner::User);
        let program = container.use_functions();
        let expected = sorted(&pod).into_iter();
        let expected = expected.map(|vf| format!("{vf} is 8086:4941, and reaches memory"));
        assert_eq!(program.said, expected.collect::<Vec<_>>());
        assert!(program.end());
    }
    scene.end();
}

fn another_container_cannot_open_them(guest: &Guest) {
    let scene = serve(guest);
    let (one, other) = (scene.admit(CY), scene.admit(CY));
    let group = one.answer.devices[1].container_path.clone();
    let first = Container::new("/run/first", &one.answer, Owner::User);
    let holder = first.use_functions();
    assert_eq!(holder.said.len(), 1);

    let refused = |answer: &ContainerAnswer, why: &str| {
        // It knows the address and where the node would be.
        let second = Container::new("/run/second", answer, Owner::User).with_envs_of(&one.answer);
        let program = second.use_functions();
        let vf = &one.devices[CY][0];
        assert_eq!(program.said, [format!("{vf}: {group}: {why}")]);
        assert!(!program.end());
    };
    refused(&other.answer, "No such file or directory (os error 2)");
    // Even with the node: a group has one owner at a time.
    refused(&one.answer, "Device or resource busy (os error 16)");
    assert!(holder.end());
    scene.end();
}

/// The condition that `qat-inspect check` names: where nobody gives the node to the container's user, only root opens it.
fn a_node_that_is_roots_stays_roots(guest: &Guest) {
    let scene = serve(guest);
    let pod = scene.admit(CY);
    let container = Container::new("/run/container", &pod.answer, Owner::Host);
    let program = container.use_functions();
    assert_eq!(program.said.len(), 1);
    let said = &program.said[0];
    assert!(said.ends_with("Permission denied (os error 13)"), "{said}");
    assert!(!program.end());
    scene.end();
}

fn a_virtual_machine_receives_one_vf(guest: &Guest) {
    receives(guest, 1);
}

fn a_virtual_machine_receives_two_vfs(guest: &Guest) {
    receives(guest, 2);
}

/// As KubeVirt does it: an address off the variable for each device, `managed='no'`, QEMU as an ordinary user to whom
/// virt-handler has given the nodes, no limit on locked memory.
fn receives(guest: &Guest, count: usize) {
    let scene = serve(guest);
    let pod = scene.admit_with(CY, count);
    let container = Container::new("/qemu", &pod.answer, Owner::User);
    let addresses = &pod.answer.envs["PCI_RESOURCE_QAT_INTEL_COM_CY"];
    let mut qemu = start(&container, addresses);
    let mut qmp = Qmp::connect(&container.path("tmp/qmp"));
    let functions = qmp.pci();
    let vfs = functions.iter().filter(|id| **id == VF);
    assert_eq!(vfs.count(), count, "{functions:x?}");
    for vf in sorted(&pod) {
        let enabled = sysfs_pci::enable_count(&guest.host.sysfs, at(&vf)).unwrap();
        assert!(enabled > 0, "{vf} is open");
    }
    qmp.ask("quit");
    ends_within(&mut qemu, DEADLINE);
    drop(container);
    scene.end();
}

/// A machine without anything but the VFs, and stopped: it needs no system.
fn start(container: &Container, addresses: &str) -> Child {
    let mut arguments = vec!["/usr/bin/qemu-system-x86_64"];
    arguments.extend(
        "-machine q35,accel=tcg,sata=off,smbus=off,usb=off -m 64 -nodefaults -no-user-config -display none -S \
         -L /firmware -qmp unix:/tmp/qmp,server=on,wait=off"
            .split_whitespace(),
    );
    let devices: Vec<String> = addresses
        .split(',')
        .map(|address| format!("vfio-pci,host={address}"))
        .collect();
    for device in &devices {
        arguments.extend(["-device", device]);
    }
    let mut command = container.command("unlimited", &arguments);
    command
        .env("LD_LIBRARY_PATH", "/lib")
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}
