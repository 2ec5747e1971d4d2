//! What `check` finds.

#[cfg(feature = "probe")]
use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use node_sim::{Change, Machine, Profile, SimNode};
use tempfile::TempDir;

use crate::{inspect, troubled};

/// A machine on disk.
struct Site {
    #[cfg_attr(
        not(feature = "probe"),
        expect(dead_code, reason = "its kubelet is asked by the probe")
    )]
    node: SimNode,
    dir: TempDir,
}

impl Site {
    fn new(machine: Machine) -> Self {
        let dir = node_sim::scratch().unwrap();
        let node = machine.write(dir.path()).unwrap();
        Self { node, dir }
    }

    /// What `check` prints, without the temporary path, and its exit code.
    fn check(&self, args: &[&str]) -> (i32, String) {
        let root = self.dir.path();
        let output = inspect("check", root, args).output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        let text = String::from_utf8(output.stdout).unwrap();
        let text = text.replace(&root.display().to_string(), "ROOT");
        (output.status.code().unwrap(), text)
    }

    /// The same with `--probe` and this node's kubelet.
    #[cfg(feature = "probe")]
    fn probe(&self, args: &[&str]) -> (i32, String) {
        let kubelet = format!("--kubelet-dir={}", self.node.kubelet_dir().display());
        let mut all = vec!["--probe", &kubelet];
        all.extend(args);
        self.check(&all)
    }
}

#[test]
fn a_trouble_of_each_kind_is_a_finding() {
    let (code, text) = Site::new(troubled()).check(&[]);
    assert_eq!(code, 1);
    assert_snapshot!(text);
}

#[test]
fn a_node_without_trouble() {
    let site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let (code, text) = site.check(&[]);
    assert_eq!(code, 0);
    assert_snapshot!(text);
    let site = Site::new(Machine::new().with(Change::LookAlikes));
    let expected = "no QAT devices on this machine\nnothing wrong found\n";
    assert_eq!(site.check(&[]), (0, expected.to_owned()));
}

#[test]
fn a_family_that_is_switched_off_is_no_finding_and_a_cap_that_cuts_is_one() {
    let site = Site::new(Machine::profile(Profile::C62x));
    assert_eq!(site.check(&["--kernel-vf-drivers=4xxxvf"]).0, 0);
    let (code, text) = site.check(&["--max-num-devices=32"]);
    assert_eq!(code, 1);
    assert!(text.starts_with("QAT026 beyond-cap (16 VFs, "), "{text}");
    assert!(text.ends_with("16 findings\n"), "{text}");
}

#[test]
fn findings_as_json() {
    let machine = Machine::profile(Profile::X6xxx);
    let vf = machine.vfs()[0];
    let site = Site::new(machine.with(Change::NoNode(vf)));
    let (code, text) = site.check(&["--json"]);
    assert_eq!(code, 1);
    assert_snapshot!(text);
}

#[test]
fn a_wrong_root_ends_with_2() {
    let mut command = inspect("check", Path::new("/nowhere"), &[]);
    command.assert().code(2);
}

#[cfg(feature = "probe")]
#[test]
fn what_is_not_vfio_is_a_finding_for_each_group() {
    let site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let (code, text) = site.check(&["--probe", "--no-kubelet"]);
    assert_eq!(code, 1);
    assert_snapshot!(text);
}

#[cfg(feature = "probe")]
#[test]
fn without_sight_of_pods_no_group_is_asked() {
    let site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let (code, text) = site.check(&["--probe", "--kubelet-dir=/nowhere"]);
    assert_eq!(code, 1);
    assert_snapshot!(text);
}

#[cfg(feature = "probe")]
#[test]
fn groups_in_use_are_left_alone() {
    let site = Site::new(Machine::profile(Profile::X420xx));
    let vfs = site.node.vfs();
    site.node.write_attr(vfs[0], "enable", b"1\n").unwrap();
    // The kubelet does not answer, and its checkpoint says what it has given away.
    let checkpoint = format!(
        r#"{{"Data": {{"PodDeviceEntries": [{{"PodUID": "7", "ContainerName": "c",
            "ResourceName": "qat.intel.com/dc", "DeviceIDs": {{"0": ["{}"]}}}}]}}}}"#,
        vfs[1]
    );
    let path = site.node.kubelet_dir().join("kubelet_internal_checkpoint");
    fs::write(path, checkpoint).unwrap();
    let (code, text) = site.probe(&[]);
    assert_eq!(code, 1);
    assert_snapshot!(text);
}
