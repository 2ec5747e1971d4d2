//! What `check` says of consumers: set-ups that break one of them, and the sentence for each.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use insta::assert_snapshot;
use node_sim::{CdevNodes, Change, Machine, Profile, SimNode};
use tempfile::TempDir;

use crate::inspect;

/// A machine on disk, and the plugin's configuration if it has one.
struct SetUp {
    node: SimNode,
    dir: TempDir,
    config: Option<PathBuf>,
}

/// Sixteen VFs of one resource, `qat.intel.com/cy`.
fn machine() -> Machine {
    Machine::profile(Profile::X6xxx)
}

impl SetUp {
    fn new(machine: Machine) -> Self {
        let dir = node_sim::scratch().unwrap();
        let node = machine.write(dir.path()).unwrap();
        Self {
            node,
            dir,
            config: None,
        }
    }

    /// With these rules for pools.
    fn with(machine: Machine, pools: &str) -> Self {
        let mut site = Self::new(machine);
        let path = site.dir.path().join("config.yaml");
        fs::write(&path, format!("version: 1\npools:\n{pools}")).unwrap();
        site.config = Some(path);
        site
    }

    /// Exit code and what is printed, errors last, without the temporary path.
    fn check(&self, args: &[&str]) -> String {
        let root = self.dir.path();
        let mut command = inspect("check", root, args);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        let output = command.output().unwrap();
        let code = output.status.code().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        format!("exit {code}\n{text}").replace(&root.display().to_string(), "ROOT")
    }
}

#[test]
fn no_control_node() {
    assert_snapshot!(SetUp::new(machine().with(Change::NoControlNode)).check(&[]));
}

#[test]
fn a_character_device_in_sysfs_only() {
    let machine = machine().with(Change::Cdev(CdevNodes::SysfsOnly));
    assert_snapshot!(SetUp::with(machine, "  - vfio: both\n").check(&[]));
}

#[test]
fn a_dash_in_a_resource_name() {
    let mut services = Machine::profile(Profile::X420xx);
    for pf in services.pfs() {
        services = services.with(Change::Services { pf, text: "sym;dc" });
    }
    assert_snapshot!(SetUp::new(services).check(&["sym-dc"]));
}

#[test]
fn a_shared_group() {
    let vfs = machine().vfs();
    let machine = machine().with(Change::SharedGroup {
        a: vfs[0],
        b: vfs[1],
    });
    assert_snapshot!(SetUp::new(machine).check(&[]));
}

#[test]
fn denylisted_vfs() {
    let machine = Machine::profile(Profile::C62x).with(Change::Denylist(true));
    assert_snapshot!(SetUp::new(machine).check(&[]));
}

#[test]
fn a_domain_of_five_digits() {
    assert_snapshot!(SetUp::new(machine().with(Change::Domain(0x10000))).check(&[]));
}

#[test]
fn both_interfaces_for_kata() {
    let site = SetUp::with(machine(), "  - vfio: both\n");
    assert_snapshot!(site.check(&["--for=kata-go,kata-rs"]));
}

#[test]
fn a_node_that_cannot_be_looked_at() {
    let site = SetUp::new(machine());
    let group = site.node.group_of(site.node.vfs()[0]).unwrap();
    let node = site.node.dev().join(format!("vfio/{group}"));
    fs::remove_file(&node).unwrap();
    // A loop: looking at it fails with something else than that it is missing.
    symlink(&node, &node).unwrap();
    assert_snapshot!(site.check(&[]));
}

#[test]
fn names_that_lead_to_one_variable() {
    let pools = "  - {pool: cy, name: a.b}\n  - {pool: dc, name: a_b}\n";
    assert_snapshot!(SetUp::with(machine(), pools).check(&[]));
}

#[test]
fn a_name_that_is_no_class_in_cdi() {
    let pools = "  - {pool: cy, name: 4xxx, cdi: spec}\n";
    assert_snapshot!(SetUp::with(machine(), pools).check(&[]));
}

#[test]
fn a_cdi_file_that_nobody_wrote() {
    let site = SetUp::with(machine(), "  - cdi: spec\n");
    assert_snapshot!(site.check(&["--for=kata-rs-cold"]));
}

#[test]
fn a_cdi_file_of_other_devices() {
    let site = SetUp::with(machine(), "  - cdi: spec\n");
    let name = site.check(&[]).lines().nth(1).unwrap().to_owned();
    let resource = name.split(' ').next().unwrap();
    let path = site.dir.path().join("cdi");
    fs::create_dir(&path).unwrap();
    let text =
        format!(r#"{{"cdiVersion":"0.5.0","kind":"{resource}","devices":[{{"name":"vfio0"}}]}}"#);
    let file = resource.replace('/', "_") + ".yaml";
    fs::write(path.join(file), text).unwrap();
    assert_snapshot!(site.check(&["--for=kata-go-cold"]));
}

#[test]
fn one_resource_as_json() {
    let site = SetUp::with(machine(), "  - {vfio: cdev, numberedPrefix: none}\n");
    assert_snapshot!(site.check(&["--json", "--for=kubevirt,kata-go,numbered"]));
}

#[test]
fn what_is_asked_for_must_be_there() {
    let site = SetUp::new(machine());
    assert_snapshot!(site.check(&["nonsense"]));
    assert_snapshot!(site.check(&["--for=virtlet"]));
}
