//! A reader of CDI files as strict as that of container runtimes: `cdi.ParseSpec` in <https://github.com/cncf-tags/container-device-interface>
//! refuses a file with a field that `specs-go/config.go` does not have, and `Cache.InjectDevices` applies the edits in this order.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use serde::Deserialize;

/// What one file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Spec {
    pub(crate) cdi_version: String,
    pub(crate) kind: String,
    pub(crate) devices: Vec<Device>,
    pub(crate) container_edits: Option<Edits>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) container_edits: Edits,
}

#[derive(Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct Edits {
    pub(crate) env: Vec<String>,
    pub(crate) device_nodes: Vec<Node>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) additional_gids: Vec<u32>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Node {
    pub(crate) path: String,
    pub(crate) host_path: Option<String>,
    pub(crate) permissions: String,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) file_mode: Option<u32>,
}

#[derive(Clone, Deserialize, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Mount {
    pub(crate) host_path: String,
    pub(crate) container_path: String,
    pub(crate) options: Vec<String>,
}

/// What a container has been given.
#[derive(Default)]
pub(crate) struct Container {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) gids: BTreeSet<u32>,
}

/// The files of a directory.
pub(crate) struct Reader(Vec<Spec>);

impl Spec {
    pub(crate) fn read(path: &Path) -> Self {
        serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }
}

impl Reader {
    pub(crate) fn new(dir: &Path) -> Self {
        let entries = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("json" | "yaml"))
        });
        let specs: Vec<Spec> = files.map(|path| Spec::read(&path)).collect();
        let reader = Self(specs);
        let names = reader.names();
        let distinct: BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "a conflict in {names:?}");
        reader
    }

    /// The qualified names of all devices, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let qualified = self.0.iter().flat_map(|spec| {
            let devices = spec.devices.iter();
            devices.map(|device| format!("{}={}", spec.kind, device.name))
        });
        let mut names: Vec<String> = qualified.collect();
        names.sort();
        names
    }

    fn find(&self, name: &str) -> (&Spec, &Device) {
        let (kind, id) = name.split_once('=').unwrap();
        let spec = self.0.iter().find(|spec| spec.kind == kind).unwrap();
        let mut devices = spec.devices.iter();
        let device = devices.find(|device| device.name == id).unwrap();
        (spec, device)
    }

    pub(crate) fn edits(&self, name: &str) -> &Edits {
        &self.find(name).1.container_edits
    }

    /// An empty container that a runtime gives these devices to: what devices of a kind share comes once, with the first of them.
    pub(crate) fn inject(&self, names: &[&str]) -> Container {
        let mut container = Container::default();
        let mut kinds = BTreeSet::new();
        for name in names {
            let (spec, device) = self.find(name);
            if let (true, Some(shared)) = (kinds.insert(&spec.kind), &spec.container_edits) {
                container.edit(shared);
            }
            container.edit(&device.container_edits);
        }
        container
    }
}

impl Container {
    fn edit(&mut self, edits: &Edits) {
        for variable in &edits.env {
            let (name, value) = variable.split_once('=').unwrap();
            self.env.insert(name.to_owned(), value.to_owned());
        }
        // A node that replaces another comes last, as `AddDevice` of OCI's tools has it.
        for node in &edits.device_nodes {
            self.nodes.retain(|other| other.path != node.path);
            self.nodes.push(node.clone());
        }
        self.mounts.extend(edits.mounts.iter().cloned());
        self.gids.extend(&edits.additional_gids);
    }
}

impl Node {
    /// The number that a runtime reads from the node of the host.
    pub(crate) fn number(&self) -> u64 {
        let host = self.host_path.as_ref().unwrap_or(&self.path);
        let metadata = fs::metadata(host).unwrap();
        assert!(metadata.file_type().is_char_device(), "{host}");
        metadata.rdev()
    }
}
