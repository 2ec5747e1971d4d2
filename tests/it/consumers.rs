//! From the plugin over the kubelet to whoever reads the answer: what a machine or a program ends up with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use node_sim::consumer::kata::{KataError, Port, Runtime, cold_plug, guest_env, hot_plug};
use node_sim::consumer::kubevirt::{Backend, HostDevice, LaunchError, given_to_qemu, launch};
use node_sim::consumer::user_space::{dpdk_args, numbered, qatlib_functions};
use node_sim::{CdevNodes, Change, Machine, Pod, Profile};
use serde_json::Value;
use tests::{DEADLINE, Daemon, Scene};

const CY: &str = "qat.intel.com/cy";
const DC: &str = "qat.intel.com/dc";

/// A node whose plugin has these rules for pools.
struct Stage {
    scene: Scene,
    daemon: Daemon,
    cdi: PathBuf,
}

impl Stage {
    async fn new(machine: Machine, pools: &str) -> Self {
        let scene = Scene::new(machine).await.unwrap();
        let root = scene.node.root();
        let (config, cdi) = (root.join("config.yaml"), root.join("cdi"));
        fs::write(&config, format!("version: 1\npools: {pools}\n")).unwrap();
        fs::create_dir(&cdi).unwrap();
        let args = [
            format!("--config={}", config.display()),
            format!("--cdi-dir={}", cdi.display()),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let daemon = scene.daemon(&args).unwrap();
        Self { scene, daemon, cdi }
    }

    /// A Xeon with 32 VFs of each resource.
    async fn xeon(pools: &str) -> Self {
        Self::new(Machine::profile(Profile::Xeon4xxx), pools).await
    }

    /// Waits for the resources, and admits a pod.
    async fn pod(&self, wanted: &[(&str, usize)]) -> Pod {
        for (resource, _) in wanted {
            let ready =
                self.scene
                    .kubelet
                    .wait_for(resource, |view| view.allocatable > 0, DEADLINE);
            let ready = ready.await;
            assert!(ready.is_ok(), "{ready:?}\n{}", self.daemon.log());
        }
        let pod = self.scene.kubelet.admit(wanted).await.unwrap();
        pod.started.clone().unwrap();
        pod
    }

    fn sysfs(&self) -> PathBuf {
        self.scene.node.sysfs()
    }

    /// What a machine gets that asks for `count` devices of the resource.
    fn machine(
        &self,
        pod: &Pod,
        resource: &str,
        count: usize,
        backend: Backend,
    ) -> Result<Vec<String>, LaunchError> {
        let wanted: Vec<HostDevice> = (0..count).map(|n| host_device(resource, n)).collect();
        let found = launch(&wanted, &pod.answer, &self.sysfs(), backend)?;
        Ok(found.into_iter().map(|device| device.address).collect())
    }

    /// The container's environment in a guest of Kata that was given `functions`.
    fn guest(pod: &Pod, functions: &[String]) -> BTreeMap<String, String> {
        let guests = functions.iter().enumerate();
        let guests = guests.map(|(n, host)| (host.clone(), guest_address(n)));
        guest_env(&pod.answer.envs, &guests.collect())
    }

    async fn end(self) -> String {
        self.scene.end(self.daemon).await.unwrap()
    }
}

fn host_device(resource: &str, number: usize) -> HostDevice {
    HostDevice {
        name: format!("qat-{number}"),
        resource: resource.to_owned(),
    }
}

fn guest_address(number: usize) -> String {
    format!("0000:{:02x}:00.0", number + 1)
}

/// The VFs of a pod, sorted.
fn held(pod: &Pod, resource: &str) -> Vec<String> {
    let mut held = pod.devices[resource].clone();
    held.sort();
    held
}

/// Without a word of configuration everybody is served who can use groups.
#[tokio::test]
async fn one_answer_for_kubevirt_kata_dpdk_qatlib_and_numbered_images() {
    let stage = Stage::xeon("[]").await;
    for count in [1, 2, 16] {
        let pod = stage.pod(&[(CY, count)]).await;
        let vfs = held(&pod, CY);
        let machine = stage.machine(&pod, CY, count, Backend::Group);
        assert_eq!(machine.unwrap(), vfs);
        assert_eq!(given_to_qemu(&pod.answer).len(), count);

        let plugged = hot_plug(&pod.answer, &stage.sysfs(), Port::Root).unwrap();
        assert_eq!(plugged.generic, [""; 0]);
        let mut functions = plugged.functions.clone();
        functions.sort();
        assert_eq!(functions, vfs);
        let guest = Stage::guest(&pod, &vfs);
        let expected: Vec<String> = (0..count).map(guest_address).collect();
        assert_eq!(guest["PCIDEVICE_QAT_INTEL_COM_CY"], expected.join(","));
        let info = &guest["PCIDEVICE_QAT_INTEL_COM_CY_INFO"];
        assert!(
            expected.iter().all(|address| info.contains(address)),
            "{info}"
        );
        assert!(!vfs.iter().any(|address| info.contains(address)), "{info}");
        // The others keep the host's addresses, so nobody should read them in a guest of Kata.
        assert_eq!(guest["QAT0"], vfs[0]);

        let args = dpdk_args(&pod.answer, "PCIDEVICE_QAT_INTEL_COM_CY", &stage.sysfs()).unwrap();
        assert_eq!(args.len(), 2 * count);
        assert_eq!(qatlib_functions(&pod.answer, &stage.sysfs()), vfs);
        assert_eq!(numbered(&pod.answer.envs, "QAT"), vfs);
        assert!(stage.scene.kubelet.delete(&pod));
    }
    stage.end().await;
}

/// The kubelet asks once for each resource and merges.
#[tokio::test]
async fn two_resources_in_one_container_lose_nothing_but_equal_numbers() {
    for (pools, prefixes, lost) in [
        ("[]", ["QAT", "QAT"], true),
        ("[{pool: dc, numberedPrefix: DC}]", ["QAT", "DC"], false),
    ] {
        let stage = Stage::xeon(pools).await;
        let pod = stage.pod(&[(CY, 2), (DC, 1)]).await;
        let mut wanted: Vec<HostDevice> = (0..2).map(|n| host_device(CY, n)).collect();
        wanted.insert(1, host_device(DC, 7));
        let found = launch(&wanted, &pod.answer, &stage.sysfs(), Backend::Group).unwrap();
        let found: Vec<String> = found.into_iter().map(|device| device.address).collect();
        let (cy, dc) = (held(&pod, CY), held(&pod, DC));
        assert_eq!(found, [&cy[0], &dc[0], &cy[1]].map(Clone::clone));

        let plugged = hot_plug(&pod.answer, &stage.sysfs(), Port::Root)
            .unwrap()
            .functions;
        let guest = Stage::guest(&pod, &plugged);
        for variable in ["PCIDEVICE_QAT_INTEL_COM_CY", "PCIDEVICE_QAT_INTEL_COM_DC"] {
            assert_ne!(guest[variable], pod.answer.envs[variable]);
        }
        assert_eq!(!pod.conflicts.is_empty(), lost, "{:?}", pod.conflicts);
        if !lost {
            assert_eq!(numbered(&pod.answer.envs, prefixes[0]), cy);
            assert_eq!(numbered(&pod.answer.envs, prefixes[1]), dc);
        }
        stage.end().await;
    }
}

/// What has a dash is for KubeVirt and Kata under that name, and for a shell under another.
#[tokio::test]
async fn a_resource_with_a_dash() {
    let mut machine = Machine::profile(Profile::Xeon4xxx);
    for pf in machine.pfs() {
        machine = machine.with(Change::Services { pf, text: "dc;sym" });
    }
    let stage = Stage::new(machine, "[]").await;
    let resource = "qat.intel.com/sym-dc";
    let pod = stage.pod(&[(resource, 1)]).await;
    let vfs = held(&pod, resource);
    assert_eq!(
        stage.machine(&pod, resource, 1, Backend::Group).unwrap(),
        vfs
    );
    let guest = Stage::guest(&pod, &vfs);
    let names = [
        "PCIDEVICE_QAT_INTEL_COM_SYM-DC",
        "PCIDEVICE_QAT_INTEL_COM_SYM_DC",
    ];
    for name in names {
        assert_eq!(guest[name], guest_address(0));
    }
    dpdk_args(&pod.answer, names[0], &stage.sysfs()).unwrap_err();
    dpdk_args(&pod.answer, names[1], &stage.sysfs()).unwrap();
    stage.end().await;
}

#[tokio::test]
async fn character_devices_for_kata_and_for_kubevirt_with_iommufd() {
    let stage = Stage::xeon("[{vfio: cdev}]").await;
    let pod = stage.pod(&[(CY, 2)]).await;
    let vfs = held(&pod, CY);
    let machine = stage.machine(&pod, CY, 2, Backend::Iommufd);
    assert_eq!(machine.unwrap(), vfs);
    let without = stage.machine(&pod, CY, 2, Backend::Group).unwrap_err();
    assert!(matches!(without, LaunchError::NoNode { .. }), "{without}");
    let plugged = hot_plug(&pod.answer, &stage.sysfs(), Port::Root).unwrap();
    assert_eq!(plugged.functions, vfs);
    stage.end().await;
}

/// The trap that `both` is: right for KubeVirt, wrong for Kata.
#[tokio::test]
async fn both_interfaces_are_for_kubevirt_alone() {
    let stage = Stage::xeon("[{vfio: both}]").await;
    let pod = stage.pod(&[(CY, 1)]).await;
    for backend in [Backend::Group, Backend::Iommufd] {
        assert_eq!(stage.machine(&pod, CY, 1, backend).unwrap(), held(&pod, CY));
    }
    let error = hot_plug(&pod.answer, &stage.sysfs(), Port::Root).unwrap_err();
    assert!(matches!(error, KataError::Twice { .. }), "{error}");
    stage.end().await;
}

/// KubeVirt 1.9.0 gave out what sysfs shows and the kernel does not make. Here the group stands in, and it is said.
#[tokio::test]
async fn a_character_device_that_is_only_in_sysfs_is_not_given() {
    let machine = Machine::profile(Profile::Xeon4xxx).with(Change::Cdev(CdevNodes::SysfsOnly));
    let stage = Stage::new(machine, "[{vfio: cdev}]").await;
    let pod = stage.pod(&[(CY, 1)]).await;
    assert_eq!(
        stage.machine(&pod, CY, 1, Backend::Group).unwrap(),
        held(&pod, CY)
    );
    hot_plug(&pod.answer, &stage.sysfs(), Port::Root).unwrap();
    let log = stage.end().await;
    assert!(
        log.contains("32 of 32 VFs have no node in /dev/vfio/devices"),
        "{log}"
    );
    assert!(log.contains("so the container gets the group's"), "{log}");
}

/// For runtimes that attach a function by themselves, or cannot: the pod starts, and knows the address.
#[tokio::test]
async fn without_nodes_a_container_learns_the_addresses() {
    let stage = Stage::xeon("[{vfio: none}]").await;
    let pod = stage.pod(&[(CY, 2)]).await;
    assert_eq!(pod.answer.devices, []);
    assert_eq!(numbered(&pod.answer.envs, "QAT"), held(&pod, CY));
    stage.end().await;
}

/// The qualified names of the devices in the CDI files of a directory.
fn described_in(dir: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(dir).unwrap();
    let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let names = texts.flat_map(|text| {
        let spec: Value = serde_saphyr::from_str(&text).unwrap();
        let kind = spec["kind"].as_str().unwrap().to_owned();
        let devices = spec["devices"].as_array().unwrap().clone().into_iter();
        devices.map(move |device| format!("{kind}={}", device["name"].as_str().unwrap()))
    });
    names.collect()
}

/// Cold plug by both runtimes, and what any reader of CDI files finds.
#[tokio::test]
async fn cdi_files_are_what_kata_looks_up() {
    for (pools, described) in [
        ("[{cdi: spec}]", false),
        ("[{cdi: field, owner: {gid: 107, mode: \"0660\"}}]", true),
        ("[{cdi: spec, vfio: cdev}]", false),
    ] {
        let stage = Stage::xeon(pools).await;
        let pod = stage.pod(&[(CY, 2), (DC, 1)]).await;
        for runtime in [Runtime::Go, Runtime::Rust] {
            let functions = cold_plug(runtime, &pod.devices, &stage.cdi, &stage.sysfs()).unwrap();
            let expected: Vec<String> = pod.devices.values().flatten().cloned().collect();
            assert_eq!(functions, expected, "{pools}");
        }
        // The nodes of the container are the same, so they are no further devices.
        let plugged = hot_plug(&pod.answer, &stage.sysfs(), Port::Root).unwrap();
        assert_eq!(plugged.functions.len(), 3);

        let names: Vec<String> = [CY, DC]
            .iter()
            .flat_map(|resource| {
                held(&pod, resource)
                    .into_iter()
                    .map(move |vf| format!("{resource}={vf}"))
            })
            .collect();
        let mut told = pod.answer.cdi_devices.clone();
        told.sort();
        assert_eq!(told, if described { names.clone() } else { Vec::new() });

        let described = described_in(&stage.cdi);
        // Every VF of the machine, and those that were given under the names that the kubelet passes on.
        assert_eq!(described.len(), 64);
        for name in &names {
            assert!(described.contains(name), "{name}");
        }
        let log = stage.end().await;
        assert!(!log.contains("CDI"), "{log}");
    }
}

/// The kubelet gives a container its old answer when it starts again, so before that the VF is looked at.
#[tokio::test]
async fn a_container_does_not_start_with_a_vf_that_it_could_not_use() {
    let stage = Stage::xeon("[]").await;
    let pod = stage.pod(&[(CY, 1)]).await;
    let vf = stage
        .scene
        .node
        .vfs()
        .into_iter()
        .find(|vf| vf.to_string() == pod.devices[CY][0]);
    let vf = vf.unwrap();
    // While it is open there is nothing to complain about.
    stage.scene.node.set_enable(vf, 1).unwrap();
    stage.scene.kubelet.restart_container(&pod).await.unwrap();
    stage.scene.node.set_enable(vf, 0).unwrap();
    stage.scene.node.unbind(vf).unwrap();
    let error = stage
        .scene
        .kubelet
        .restart_container(&pod)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("{vf} has no driver")), "{text}");
    stage.scene.node.bind(vf, "vfio-pci").unwrap();
    stage.scene.kubelet.restart_container(&pod).await.unwrap();
    stage.end().await;
}

/// One VF of a group that two share is offered, so no two pods have one group.
#[tokio::test]
async fn a_group_is_given_once() {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let vfs = machine.vfs();
    let shared = Change::SharedGroup {
        a: vfs[0],
        b: vfs[1],
    };
    let stage = Stage::new(machine.with(shared), "[]").await;
    let pod = stage.pod(&[(CY, 31)]).await;
    assert!(held(&pod, CY).contains(&vfs[0].to_string()));
    assert!(!held(&pod, CY).contains(&vfs[1].to_string()));
    let one_more = stage.scene.kubelet.admit([(CY, 1)]).await;
    assert!(one_more.is_err());
    let log = stage.end().await;
    assert!(log.contains(&format!("VF {} of PF", vfs[1])), "{log}");
}

/// A pool of another name is another resource, and leads to its own variables.
#[tokio::test]
async fn a_pool_that_is_called_otherwise() {
    let stage = Stage::xeon("[{pool: cy, name: crypto}]").await;
    let resource = "qat.intel.com/crypto";
    let pod = stage.pod(&[(resource, 1), (DC, 1)]).await;
    let machine = stage.machine(&pod, resource, 1, Backend::Group);
    assert_eq!(machine.unwrap(), held(&pod, resource));
    let names: Vec<String> = stage.scene.kubelet.resources().into_keys().collect();
    assert_eq!(names, [resource, DC]);
    stage.end().await;
}
