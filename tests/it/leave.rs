//! `qat-plugin leave`: nothing of a plugin is left on a node, and nothing of one that runs is touched.

use std::fs;
use std::process::{Command, Output};

use node_sim::{Change, Machine, Profile, ResourceView};
use rustix::process::{Pid, Signal, kill_process};
use tests::{DEADLINE, Scene, binary};

const CY: &str = "qat.intel.com/cy";

fn leave(scene: &Scene, args: &[&str]) -> Output {
    let node = &scene.node;
    Command::new(binary("qat-plugin").unwrap())
        .env_clear()
        .arg("leave")
        .args(args)
        .arg(format!("--sysfs-root={}", node.sysfs().display()))
        .arg(format!("--dev-root={}", node.dev().display()))
        .arg(format!("--kubelet-dir={}", node.kubelet_dir().display()))
        .arg(format!("--cdi-dir={}", node.root().join("cdi").display()))
        .arg(format!(
            "--nfd-file={}",
            node.root().join("labels").display()
        ))
        .output()
        .unwrap()
}

#[tokio::test]
async fn what_a_plugin_has_left_goes_when_it_is_gone() {
    let scene = Scene::new(Machine::profile(Profile::Xeon4xxx))
        .await
        .unwrap();
    let cdi = scene.node.root().join("cdi");
    fs::create_dir(&cdi).unwrap();
    fs::write(cdi.join("theirs.yaml"), "kind: other.org/gpu\n").unwrap();
    let config = scene.node.root().join("config.yaml");
    fs::write(&config, "version: 1\npools: [{ cdi: spec }]\n").unwrap();
    let daemon = scene
        .daemon(&[
            &format!("--cdi-dir={}", cdi.display()),
            &format!("--config={}", config.display()),
            &format!("--nfd-file={}", scene.node.root().join("labels").display()),
        ])
        .unwrap();
    let served = |view: &ResourceView| view.streaming && view.allocatable == 32;
    scene.kubelet.wait_for(CY, served, DEADLINE).await.unwrap();

    let labels = fs::read_to_string(scene.node.root().join("labels")).unwrap();
    assert_eq!(
        labels,
        "intel.feature.node.kubernetes.io/qat=true\n\
         intel.feature.node.kubernetes.io/qat.family-4xxx=true\n\
         intel.feature.node.kubernetes.io/qat.resource-cy=32\n\
         intel.feature.node.kubernetes.io/qat.resource-dc=32\n\
         intel.feature.node.kubernetes.io/qat.vfs=64\n"
    );
    let refused = leave(&scene, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("a plugin serves this node"), "{text}");
    assert!(cdi.join("qat.intel.com_cy.yaml").exists());

    // Killed, it leaves its sockets.
    let pid = Pid::from_raw(daemon.pid().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    daemon.ended(DEADLINE).await.unwrap();
    let kubelet = scene.node.kubelet_dir();
    assert!(kubelet.join("qat.intel.com-cy.sock").exists());
    let would = leave(&scene, &["--dry-run"]);
    let would = String::from_utf8(would.stdout).unwrap();
    assert!(would.contains("would remove"), "{would}");
    assert!(kubelet.join("qat.intel.com-cy.sock").exists());

    let left = leave(&scene, &[]);
    let said = String::from_utf8(left.stdout).unwrap();
    for part in [
        "qat.intel.com-cy.sock",
        "qat.intel.com_dc.yaml",
        "state.json",
    ] {
        assert!(said.contains(part), "`{part}` is not in {said}");
        assert!(would.contains(part), "`{part}` is not in {would}");
    }
    let names = |directory| {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&cdi), ["theirs.yaml"]);
    let ours = |name: &String| name.contains("qat");
    assert!(!names(&kubelet).iter().any(ours), "{:?}", names(&kubelet));
    let again = leave(&scene, &[]);
    let again = String::from_utf8(again.stdout).unwrap();
    assert_eq!(again, "nothing of a plugin is left here\n");
}

/// Records of provisioning are the way back, so they stay until it was gone.
#[tokio::test]
async fn what_was_provisioned_is_undone_if_asked() {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let pfs = machine.pfs();
    let scene = Scene::new(machine.with_each(pfs, Change::NoVfs))
        .await
        .unwrap();
    let _kernel = scene.node.react().unwrap();
    let node = &scene.node;
    let provisioned = Command::new(binary("qat-plugin").unwrap())
        .env_clear()
        .arg("provision")
        .arg("--no-kubelet")
        .arg(format!("--sysfs-root={}", node.sysfs().display()))
        .arg(format!("--dev-root={}", node.dev().display()))
        .arg(format!("--kubelet-dir={}", node.kubelet_dir().display()))
        .output()
        .unwrap();
    assert!(provisioned.status.success(), "{provisioned:?}");
    let vfs = || {
        let file = node
            .sysfs()
            .join("bus/pci/devices/0000:6b:00.0/sriov_numvfs");
        fs::read_to_string(file).unwrap().trim().to_owned()
    };
    assert_eq!(vfs(), "16");
    assert!(leave(&scene, &[]).status.success());
    assert_eq!(vfs(), "16", "nobody asked for it");
    let undone = leave(&scene, &["--undo"]);
    assert!(undone.status.success(), "{undone:?}");
    assert_eq!(vfs(), "0");
}
