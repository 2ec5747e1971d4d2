//! Files for container runtimes, read as runtimes read them.

mod life;
mod machine;
mod reader;
mod reading;

use std::{fs, path::Path};

use device_plugin::{
    DeviceNode, ResourceName,
    cdi::{Device, Node, Shared, Spec, SpecDir},
};

/// The writer of the tests' own files.
const WRITER: &str = "test-plugin";

fn kind(text: &str) -> ResourceName {
    text.parse().unwrap()
}

/// A node of the host, which must exist since readers look at it, under another name.
fn node(host: &str, container: &str) -> Node {
    Node::from(DeviceNode {
        container_path: container.into(),
        host_path: host.into(),
        permissions: "rw".to_owned(),
    })
}

fn device(id: &str) -> Device {
    Device {
        id: id.parse().unwrap(),
        node: node("/dev/null", &format!("/dev/{id}")),
        envs: [("LAST".to_owned(), id.to_owned())].into(),
        mounts: Vec::new(),
    }
}

fn spec(resource: &str, ids: &[&str]) -> Spec {
    let devices = ids.iter().map(|id| device(id));
    Spec::new(kind(resource), devices, &Shared::default()).unwrap()
}

fn spec_dir(path: &Path) -> SpecDir {
    SpecDir::new(path, WRITER)
}

/// What is in the directory.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
