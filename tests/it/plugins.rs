//! The example plugins for other hardware, as real processes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use node_sim::{
    AdmissionError, Change, FunctionSpec, Machine, Numa, PfSpec, ResourceView, Restart,
};
use tests::{DEADLINE, Daemon, Scene};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

const KVM: &str = "example.com/kvm";
const NVME: &str = "example.com/nvme";
const SESSION: &str = "example.com/session";

/// Starts an example. The kubelet's directory is the last argument of each.
fn start(scene: &Scene, name: &str, args: &[&str]) -> Daemon {
    let kubelet = scene.node.kubelet_dir();
    let all: Vec<&str> = args.iter().copied().chain([text(&kubelet)]).collect();
    Daemon::run(name, &all, &[]).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn usable(count: usize) -> impl Fn(&ResourceView) -> bool {
    move |view| view.streaming && view.allocatable == count
}

/// What a user reads of a pod that was refused.
async fn refusal(scene: &Scene, resource: &str) -> String {
    scene
        .kubelet
        .admit([(resource, 1)])
        .await
        .unwrap_err()
        .to_string()
}

#[tokio::test]
async fn a_character_device_comes_goes_and_comes_back() {
    let scene = Scene::new(Machine::new()).await.unwrap();
    let node = scene.node.dev().join("kvm");
    let args = [KVM, "/dev/kvm", "3", text(scene.node.root())];
    let plugin = start(&scene, "character-device", &args);
    plugin
        .logged("waiting for a first device", DEADLINE)
        .await
        .unwrap();

    symlink("/dev/null", &node).unwrap();
    let view = scene.kubelet.wait_for(KVM, usable(3), DEADLINE).await;
    let ids: Vec<_> = view.unwrap().devices.into_iter().map(|d| d.id).collect();
    assert_eq!(ids, ["kvm-0", "kvm-1", "kvm-2"]);
    let pod = scene.kubelet.admit([(KVM, 2)]).await.unwrap();
    assert_eq!(
        pod.answer.to_string().trim_end(),
        "device /dev/kvm -> /dev/kvm rw"
    );

    fs::remove_file(&node).unwrap();
    let view = scene.kubelet.wait_for(KVM, usable(0), DEADLINE).await;
    assert_eq!(view.unwrap().capacity, 3, "a pod may hold them");
    symlink("/dev/null", &node).unwrap();
    scene
        .kubelet
        .wait_for(KVM, usable(3), DEADLINE)
        .await
        .unwrap();
    scene.end(plugin).await.unwrap();
    assert!(
        !scene
            .node
            .kubelet_dir()
            .join("example.com-kvm.sock")
            .exists()
    );
}

/// A disk with four VFs on `vfio-pci`, and another card.
fn disk() -> Machine {
    let pf = FunctionSpec::new(
        "0000:5e:00.0".parse().unwrap(),
        "8086:0a54".parse().unwrap(),
    )
    .class(0x01_0802)
    .driver("nvme")
    .numa(Numa::Node(1));
    let other = FunctionSpec::new(
        "0000:17:00.0".parse().unwrap(),
        "8086:1521".parse().unwrap(),
    )
    .driver("vfio-pci");
    Machine::new()
        .function(other)
        .pf(PfSpec::new(pf, "8086:5845".parse().unwrap(), 4).vf_driver("vfio-pci"))
}

fn start_vfio(scene: &Scene) -> Daemon {
    let (sysfs, dev) = (scene.node.sysfs(), scene.node.dev());
    let ids = "8086:5845,1b36:0010";
    start(scene, "vfio-device", &[NVME, ids, text(&sysfs), text(&dev)])
}

#[tokio::test]
async fn vfio_functions_of_any_vendor_are_offered_and_handed_out() {
    let scene = Scene::new(disk()).await.unwrap();
    let vfs = scene.node.vfs();
    let plugin = start_vfio(&scene);
    let view = scene.kubelet.wait_for(NVME, usable(4), DEADLINE).await;
    for (device, vf) in view.unwrap().devices.iter().zip(&vfs) {
        assert_eq!((&device.id, &device.numa[..]), (&vf.to_string(), &[1][..]));
    }
    let pod = scene.kubelet.admit([(NVME, 4)]).await.unwrap();
    let addresses: Vec<String> = vfs.iter().map(ToString::to_string).collect();
    for variable in [
        "PCI_RESOURCE_EXAMPLE_COM_NVME",
        "PCIDEVICE_EXAMPLE_COM_NVME",
    ] {
        assert_eq!(pod.answer.envs[variable], addresses.join(","));
    }
    let paths: Vec<&str> = pod
        .answer
        .devices
        .iter()
        .map(|d| d.host_path.as_str())
        .collect();
    let nodes = vfs.iter().map(|vf| scene.node.group_of(*vf).unwrap());
    let nodes: Vec<String> = nodes.map(|group| format!("/dev/vfio/{group}")).collect();
    assert_eq!(paths[0], "/dev/vfio/vfio");
    assert_eq!(paths[1..], nodes);
    scene.end(plugin).await.unwrap();
}

#[tokio::test]
async fn a_vfio_function_that_cannot_be_had_is_not_offered_and_a_lost_one_is_unhealthy() {
    let vfs = disk().vfs();
    let scene = Scene::new(disk().with(Change::NicInGroup {
        of: vfs[0],
        driver: Some("ixgbe"),
    }))
    .await
    .unwrap();
    let plugin = start_vfio(&scene);
    scene
        .kubelet
        .wait_for(NVME, usable(3), DEADLINE)
        .await
        .unwrap();
    scene.node.unbind(vfs[1]).unwrap();
    let view = scene.kubelet.wait_for(NVME, usable(2), DEADLINE).await;
    assert_eq!(view.unwrap().capacity, 3);
    scene.node.bind(vfs[1], "vfio-pci").unwrap();
    scene
        .kubelet
        .wait_for(NVME, usable(3), DEADLINE)
        .await
        .unwrap();
    scene.end(plugin).await.unwrap();
}

#[tokio::test]
async fn a_vfio_function_is_looked_at_before_it_is_handed_out() {
    let scene = Scene::new(disk()).await.unwrap();
    let plugin = start_vfio(&scene);
    scene
        .kubelet
        .wait_for(NVME, usable(4), DEADLINE)
        .await
        .unwrap();
    // Somebody has them all open, which a look does not see and does not mind.
    for vf in scene.node.vfs() {
        scene.node.set_enable(vf, 1).unwrap();
    }
    let text = refusal(&scene, NVME).await;
    assert!(text.contains("PCI function 0000:5e:00."), "{text}");
    assert!(text.contains("open"), "{text}");
    scene.end(plugin).await.unwrap();
}

/// The local service.
struct Service(JoinHandle<()>);

impl Drop for Service {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Service {
    /// Listens, and answers each question with a line. `None`: it keeps the asker waiting.
    fn start(socket: &Path, answer: fn(&str) -> Option<String>) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        Self(tokio::spawn(async move {
            let mut waiting = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut question = String::new();
                stream.read_line(&mut question).await.unwrap();
                match answer(&question) {
                    Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                    None => waiting.push(stream),
                }
            }
        }))
    }
}

impl Service {
    /// Ends it. Its socket stays behind, and nobody listens there.
    async fn stop(mut self) {
        self.0.abort();
        (&mut self.0).await.unwrap_err();
    }
}

fn start_sessions(scene: &Scene, socket: &Path) -> Daemon {
    start(scene, "session-token", &[SESSION, text(socket), "4"])
}

#[tokio::test]
async fn a_token_is_fetched_for_each_container() {
    let scene = Scene::new(Machine::new()).await.unwrap();
    let socket = scene.node.root().join("sessions.sock");
    let service = Service::start(&socket, |question| {
        Some(format!("ok {}\n", question.trim_end().replace(' ', "+")))
    });
    let plugin = start_sessions(&scene, &socket);
    let ready = || scene.kubelet.wait_for(SESSION, usable(4), DEADLINE);
    ready().await.unwrap();
    let pod = scene.kubelet.admit([(SESSION, 4)]).await.unwrap();
    assert_eq!(
        pod.answer.envs["SESSION_TOKEN"],
        "token+session-0+session-1+session-2+session-3"
    );
    scene.kubelet.delete(&pod);

    // The service dies and leaves its socket behind: it seems to be there.
    service.stop().await;
    let text = refusal(&scene, SESSION).await;
    let sentence = format!("no session from `{}`: Connection refused", socket.display());
    assert!(text.contains(&sentence), "{text}");

    fs::remove_file(&socket).unwrap();
    let gone = scene.kubelet.wait_for(SESSION, usable(0), DEADLINE).await;
    assert_eq!(gone.unwrap().capacity, 4);
    let refused = scene.kubelet.admit([(SESSION, 1)]).await;
    assert!(matches!(
        refused,
        Err(AdmissionError::NoHealthyDevices { .. })
    ));
    let _service = Service::start(&socket, |_| Some("ok new\n".to_owned()));
    ready().await.unwrap();
    let pod = scene.kubelet.admit([(SESSION, 1)]).await.unwrap();
    assert_eq!(pod.answer.envs["SESSION_TOKEN"], "new");
    scene.end(plugin).await.unwrap();
}

#[tokio::test]
async fn a_service_that_says_no_hangs_up_or_is_slow_is_named_to_the_user() {
    type Answer = fn(&str) -> Option<String>;
    let cases: [(Answer, &str); 3] = [
        (|_| Some("none is left\n".to_owned()), "none is left"),
        (|_| Some(String::new()), "it hung up"),
        (|_| None, "no answer in 5 s"),
    ];
    for (answer, reason) in cases {
        let scene = Scene::new(Machine::new()).await.unwrap();
        let socket = scene.node.root().join("sessions.sock");
        let _service = Service::start(&socket, answer);
        let plugin = start_sessions(&scene, &socket);
        let ready = scene.kubelet.wait_for(SESSION, usable(4), DEADLINE).await;
        ready.unwrap();
        let text = refusal(&scene, SESSION).await;
        let sentence = format!("no session from `{}`: {reason}", socket.display());
        assert!(text.contains(&sentence), "{text}");
        scene.end(plugin).await.unwrap();
    }
}

#[tokio::test]
async fn each_survives_a_kubelet_that_restarts() {
    let scene = Scene::new(disk()).await.unwrap();
    let socket = scene.node.root().join("sessions.sock");
    let _service = Service::start(&socket, |_| Some("ok 1\n".to_owned()));
    let plugins = [
        start(&scene, "character-device", &[KVM, "/dev/null", "4", "/"]),
        start_vfio(&scene),
        start_sessions(&scene, &socket),
    ];
    for restart in [Restart::WipeSockets, Restart::KeepSockets] {
        for resource in [KVM, NVME, SESSION] {
            let ready = scene.kubelet.wait_for(resource, usable(4), DEADLINE).await;
            ready.unwrap();
            scene.kubelet.admit([(resource, 1)]).await.unwrap();
        }
        scene
            .kubelet
            .restart(restart, Duration::ZERO)
            .await
            .unwrap();
    }
    for plugin in plugins {
        scene.end(plugin).await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_understood_ends_it_with_a_sentence() {
    for (name, args, sentence) in [
        (
            "character-device",
            &[][..],
            "usage: character-device RESOURCE NODE COUNT",
        ),
        (
            "character-device",
            &["kvm", "/dev/kvm", "1", "/", "/tmp"],
            "`kvm`",
        ),
        (
            "character-device",
            &[KVM, "/dev/kvm", "many", "/", "/tmp"],
            "COUNT is no number",
        ),
        (
            "vfio-device",
            &[NVME, "8086", "/sys", "/dev", "/tmp"],
            "`8086` is not a pair of PCI ids",
        ),
        (
            "session-token",
            &[SESSION],
            "usage: session-token RESOURCE SERVICE",
        ),
    ] {
        let (status, log) = Daemon::run(name, args, &[])
            .unwrap()
            .ended(DEADLINE)
            .await
            .unwrap();
        assert_eq!(status.code(), Some(1), "{name} {args:?}: {log}");
        assert!(log.contains(sentence), "{name} {args:?}: {log}");
    }
}
