//! Findings on the machine as a whole: each is raised by its fault, and not by a machine without it.

use std::fs::{create_dir_all, remove_dir_all, remove_file, write};
use std::os::unix::net::UnixListener;
use std::path::Path;

use node_sim::{Change, Machine, Profile};
use serde_json::{Value, json};

use crate::inspect;
use crate::known::state;

/// The numbers of what `check` finds.
fn found(root: &Path) -> Vec<String> {
    found_with(root, &[])
}

fn found_with(root: &Path, more: &[&str]) -> Vec<String> {
    let kubelet = format!(
        "--kubelet-dir={}",
        root.join("kubelet/device-plugins").display()
    );
    let args = [&["--json", "--for=qatlib", &kubelet], more].concat();
    let output = inspect("check", root, &args).output().unwrap();
    let checkup: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = checkup["findings"].as_array().unwrap().iter();
    let ids = findings.map(|finding| finding["id"].as_str().unwrap().to_owned());
    ids.collect()
}

/// A machine on disk with a kubelet that answers, on which nothing is wrong.
struct Site {
    dir: tempfile::TempDir,
    _kubelet: UnixListener,
}

impl Site {
    fn new(machine: Machine) -> Self {
        let dir = node_sim::scratch().unwrap();
        let node = machine.write(dir.path()).unwrap();
        create_dir_all(node.kubelet_dir()).unwrap();
        let socket = node.kubelet_dir().join("kubelet.sock");
        let site = Self {
            _kubelet: UnixListener::bind(socket).unwrap(),
            dir,
        };
        assert_eq!(found(site.dir.path()), Vec::<String>::new());
        site
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        create_dir_all(path.parent().unwrap()).unwrap();
        write(path, text).unwrap();
    }

    fn has(&self, id: &str) {
        let found = found(self.dir.path());
        assert!(found.iter().any(|one| one == id), "no {id} in {found:?}");
    }
}

fn xeon() -> Site {
    Site::new(Machine::profile(Profile::Xeon4xxx))
}

#[test]
fn a_machine_without_vfio_pci() {
    let site = xeon();
    let sys = site.dir.path().join("sys");
    for path in ["bus/pci/drivers/vfio-pci", "module/vfio_pci"] {
        let _there = remove_dir_all(sys.join(path));
    }
    site.has("QAT040");
}

#[test]
fn a_driver_from_out_of_the_tree() {
    let site = xeon();
    site.write("sys/module/intel_qat/taint", "\n");
    assert_eq!(found(site.dir.path()), Vec::<String>::new());
    site.write("sys/module/intel_qat/taint", "OE\n");
    site.has("QAT046");
}

#[test]
fn a_policy_that_is_enforced() {
    let site = xeon();
    site.write("sys/fs/selinux/enforce", "0");
    assert_eq!(found(site.dir.path()), Vec::<String>::new());
    site.write("sys/fs/selinux/enforce", "1");
    site.has("QAT048");
}

#[test]
fn words_of_the_kernels_command_line() {
    let site = xeon();
    site.write("proc/cmdline", "quiet intel_iommu=on iommu=pt\n");
    assert_eq!(found(site.dir.path()), Vec::<String>::new());
    site.write("proc/cmdline", "quiet pci=nosriov\n");
    site.has("QAT049");
}

#[test]
fn a_machine_without_an_iommu_whose_command_line_says_nothing_of_it() {
    let dir = node_sim::scratch().unwrap();
    let machine = Machine::profile(Profile::Xeon4xxx).with(Change::NoIommu);
    machine.write(dir.path()).unwrap();
    let asked_for = |line: &str| {
        create_dir_all(dir.path().join("proc")).unwrap();
        write(dir.path().join("proc/cmdline"), line).unwrap();
        found(dir.path()).contains(&"QAT049".to_owned())
    };
    assert!(asked_for("quiet\n"));
    assert!(
        !asked_for("quiet intel_iommu=on\n"),
        "the firmware has it off"
    );
}

#[test]
fn a_pf_whose_firmware_is_not_there() {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let pf = machine.pfs()[0];
    let dir = node_sim::scratch().unwrap();
    machine
        .with(Change::PfUnbound(pf))
        .write(dir.path())
        .unwrap();
    let root = dir.path();
    create_dir_all(root.join("sys/module/qat_4xxx")).unwrap();
    let missing = || found(root).contains(&"QAT050".to_owned());
    assert!(!missing(), "a container has no firmware");
    create_dir_all(root.join("firmware/intel/qat")).unwrap();
    assert!(missing());
    write(root.join("firmware/intel/qat/qat_4xxx.bin.zst"), "").unwrap();
    assert!(!missing());
}

#[test]
fn a_pf_without_a_numa_node_on_a_machine_with_two() {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let pf = machine.pfs()[0];
    let site = Site::new(machine.with(Change::Garbage {
        address: pf,
        attribute: "numa_node",
        bytes: b"-1\n",
    }));
    create_dir_all(site.dir.path().join("sys/devices/system/node/node0")).unwrap();
    assert_eq!(found(site.dir.path()), Vec::<String>::new());
    create_dir_all(site.dir.path().join("sys/devices/system/node/node1")).unwrap();
    site.has("QAT047");
}

#[test]
fn a_container_runtime_that_lets_containers_lock_little() {
    let site = xeon();
    let limits = |locked: &str| {
        site.write("proc/812/comm", "containerd\n");
        let line = format!("Max locked memory         {locked:<20} {locked:<20} bytes     \n");
        site.write("proc/812/limits", &line);
    };
    for enough in ["16777216", "unlimited"] {
        limits(enough);
        assert_eq!(found(site.dir.path()), Vec::<String>::new(), "{enough}");
    }
    limits("8388608");
    site.has("QAT051");
}

#[test]
fn a_policy_against_writes_to_sysfs_where_vfs_are_to_be_bound() {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let bound = xeon();
    bound.write("sys/module/apparmor/parameters/enabled", "Y\n");
    assert_eq!(found(bound.dir.path()), Vec::<String>::new());
    let vf = machine.vfs()[0];
    let dir = node_sim::scratch().unwrap();
    machine
        .with(Change::Driver {
            address: vf,
            driver: None,
        })
        .write(dir.path())
        .unwrap();
    let hinted = |enabled: &str| {
        let parameters = dir.path().join("sys/module/apparmor/parameters");
        create_dir_all(&parameters).unwrap();
        write(parameters.join("enabled"), enabled).unwrap();
        found(dir.path()).contains(&"QAT052".to_owned())
    };
    assert!(hinted("Y\n"));
    assert!(!hinted("N\n"));
}

#[test]
fn a_vf_on_igb_uio_without_its_node() {
    let dir = node_sim::scratch().unwrap();
    let machine = Machine::profile(Profile::C62x).with(Change::NoIommu);
    let node = machine
        .with(Change::AllVfsOn(Some("igb_uio")))
        .write(dir.path())
        .unwrap();
    let lost = || found_with(dir.path(), &["--dpdk-driver=igb_uio"]);
    assert!(!lost().contains(&"QAT019".to_owned()), "{:?}", lost());
    remove_file(node.dev().join("uio0")).unwrap();
    assert!(lost().contains(&"QAT019".to_owned()), "{:?}", lost());
}

#[test]
fn a_kubelet_that_is_elsewhere_down_or_has_a_dead_plugin() {
    let site = xeon();
    let kubelet = site.dir.path().join("kubelet/device-plugins");
    let plugin = kubelet.join("qat.intel.com-cy.sock");
    let listener = UnixListener::bind(&plugin).unwrap();
    assert_eq!(found(site.dir.path()), Vec::<String>::new());
    drop(listener);
    site.has("QAT043");
    remove_file(plugin).unwrap();
    remove_file(kubelet.join("kubelet.sock")).unwrap();
    site.has("QAT042");
    // A socket that is none.
    write(kubelet.join("kubelet.sock"), "").unwrap();
    site.has("QAT042");
    remove_dir_all(&kubelet).unwrap();
    site.has("QAT041");
}

#[test]
fn what_the_plugin_cannot_read_and_a_resource_at_zero() {
    let site = xeon();
    let pf = |beat: &Value| json!({ "0000:6b:00.0": { "since": 1, "refused": 0, "vitals": { "beat": beat } } });
    let healthy = json!({ "0000:6b:00.1": { "health": "healthy", "since": 1 } });
    let alive = pf(&json!("alive"));
    site.write("state/state.json", &state(&healthy, &alive));
    assert_eq!(found(site.dir.path()), Vec::<String>::new());
    let denied = pf(&json!({ "unknown": "denied" }));
    site.write("state/state.json", &state(&healthy, &denied));
    site.has("QAT045");
    let sick = json!({ "0000:6b:00.1": {
        "health": "unhealthy", "code": "leaked", "reason": "it is open", "since": 1
    } });
    site.write("state/state.json", &state(&sick, &alive));
    site.has("QAT044");
    site.has("QAT033");
}

#[test]
fn an_info_alone_is_nothing_wrong() {
    let site = xeon();
    site.write("sys/fs/selinux/enforce", "1");
    let output = inspect("check", site.dir.path(), &["--no-kubelet"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("QAT048 selinux"), "{text}");
}
