//! Files for container runtimes, read by the crate that runtimes read them with.

mod life;
mod machine;
mod reading;

use std::{collections::HashMap, fs, path::Path};

use container_device_interface::cache::Cache;
use device_plugin::{
    DeviceNode, ResourceName,
    cdi::{Device, Node, Shared, Spec, SpecDir},
};
use oci_spec::runtime::{LinuxDevice, Spec as Container};

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

/// What a runtime that reads the directory knows.
fn load(dir: &Path) -> Cache {
    let dirs = vec![dir.to_str().unwrap().to_owned()];
    let mut cache = Cache::new(dirs, HashMap::new(), HashMap::new());
    cache.refresh().unwrap();
    cache
}

/// An empty container that a runtime gives these devices to.
fn inject(cache: &mut Cache, devices: &[&str]) -> Container {
    let mut container = Container::default();
    let devices = devices.iter().map(|&name| name.to_owned()).collect();
    cache.inject_devices(Some(&mut container), devices).unwrap();
    container
}

/// The devices that a container has, apart from those that every container has.
fn devices(container: &Container) -> Vec<&LinuxDevice> {
    let linux = container.linux().as_ref().unwrap();
    linux.devices().iter().flatten().collect()
}

fn env(container: &Container) -> &[String] {
    let process = container.process().as_ref().unwrap();
    process.env().as_ref().unwrap()
}
