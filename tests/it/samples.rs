//! The configuration files in deploy/samples, read by the plugin's own code.

use std::fs;
use std::path::{Path, PathBuf};

use node_sim::{Machine, Profile};
use tests::inspector;

/// Each file, and the consumers that it is for.
const FILES: [(&str, &str); 6] = [
    ("dpdk.yaml", "dpdk,qatlib,numbered"),
    ("kata.yaml", "kata-go,kata-rs"),
    ("kubevirt-iommufd.yaml", "kubevirt-iommufd"),
    ("kubevirt-mixed.yaml", "kubevirt,kubevirt-iommufd"),
    ("kubevirt.yaml", "kubevirt"),
    ("without-nodes.yaml", "numbered"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples/plugin")
}

#[test]
fn every_sample_configuration_serves_whom_it_is_for() {
    let dir = node_sim::scratch().unwrap();
    let node = Machine::profile(Profile::Xeon4xxx)
        .write(dir.path())
        .unwrap();
    for (name, consumers) in FILES {
        let mut check = inspector(&node, "check").unwrap();
        let output = check
            .args(["cy", "--for", consumers, "--config"])
            .arg(folder().join(name))
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {text}");
        let served = text.lines().filter(|line| line.starts_with("  ok  "));
        assert_eq!(
            served.count(),
            consumers.split(',').count(),
            "{name}: {text}"
        );
    }
}

#[test]
fn every_sample_configuration_is_in_the_list() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, FILES.map(|(name, _)| name));
}
