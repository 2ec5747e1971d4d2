//! What runtimes make of our files.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use device_plugin::{
    DeviceId, Mount,
    cdi::{Device, Node, Owner, Shared, Spec, qualified_name},
};
use proptest::{
    collection::{btree_map, btree_set, vec},
    option,
    prelude::*,
};
use tempfile::tempdir;

use super::{
    device, kind, node,
    reader::{self, Reader},
    spec, spec_dir,
};

/// Nodes that every Linux has.
const NODES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/urandom"];

/// The numbers of some of them, with 1 as the major one (Documentation/admin-guide/devices.txt).
const NULL: u64 = 0x103;
const ZERO: u64 = 0x105;
const FULL: u64 = 0x107;

#[test]
fn a_container_gets_its_devices_and_what_they_share_once() {
    let dir = tempdir().unwrap();
    let shared = Shared {
        nodes: vec![node("/dev/full", "/dev/ports/all")],
        envs: [("ALL".to_owned(), "yes".to_owned())].into(),
        mounts: vec![Mount {
            container_path: "/run/ports".into(),
            host_path: "/run".into(),
            read_only: true,
        }],
        additional_gids: [44].into(),
    };
    let owned = Device {
        node: Node {
            owner: Owner {
                uid: Some(107),
                gid: Some(108),
                mode: Some(0o600),
            },
            ..node("/dev/zero", "/dev/ports/0")
        },
        ..device("0000:6b:00.1")
    };
    let ports = [owned, device("b"), device("c")];
    let spec = Spec::new(kind("example.com/port"), ports, &shared).unwrap();
    spec_dir(dir.path()).write(&spec).unwrap();

    let reader = Reader::new(dir.path());
    assert_eq!(
        reader.names(),
        [
            "example.com/port=0000:6b:00.1",
            "example.com/port=b",
            "example.com/port=c"
        ]
    );
    let container = reader.inject(&["example.com/port=0000:6b:00.1", "example.com/port=b"]);
    let got: Vec<_> = container
        .nodes
        .iter()
        .map(|node| {
            assert_eq!(node.permissions, "rw");
            let ids = (node.uid, node.gid);
            (node.path.as_str(), node.number(), ids, node.file_mode)
        })
        .collect();
    assert_eq!(
        got,
        [
            ("/dev/ports/all", FULL, (None, None), None),
            ("/dev/ports/0", ZERO, (Some(107), Some(108)), Some(0o600)),
            ("/dev/b", NULL, (None, None), None),
        ]
    );
    assert_eq!(container.env["ALL"], "yes");
    assert_eq!(container.env["LAST"], "b");
    let mount = reader::Mount {
        host_path: "/run".to_owned(),
        container_path: "/run/ports".to_owned(),
        options: ["rbind", "rprivate", "ro"].map(str::to_owned).to_vec(),
    };
    assert_eq!(container.mounts, [mount]);
    assert_eq!(container.gids, [44].into());
}

#[test]
fn several_resources_and_an_update_are_read() {
    let dir = tempdir().unwrap();
    let specs = spec_dir(dir.path());
    specs.write(&spec("a.b/c", &["x", "y"])).unwrap();
    specs.write(&spec("a.b/c.d", &["x"])).unwrap();
    assert_eq!(
        Reader::new(dir.path()).names(),
        ["a.b/c.d=x", "a.b/c=x", "a.b/c=y"]
    );
    specs.write(&spec("a.b/c", &["y", "z"])).unwrap();
    specs.remove(&kind("a.b/c.d")).unwrap();
    assert_eq!(Reader::new(dir.path()).names(), ["a.b/c=y", "a.b/c=z"]);
}

fn any_node() -> impl Strategy<Value = Node> {
    (
        0..NODES.len(),
        "/[^\\pC/]{1,12}/[^\\pC/]{1,12}",
        "r?w?m?",
        any::<(Option<u32>, Option<u32>)>(),
        option::of(0..=0o777_u32),
    )
        .prop_map(|(index, container, permissions, (uid, gid), mode)| {
            let mut node = node(NODES[index], &container);
            if !permissions.is_empty() {
                node.node.permissions = permissions;
            }
            Node {
                owner: Owner { uid, gid, mode },
                ..node
            }
        })
}

fn any_envs() -> impl Strategy<Value = BTreeMap<String, String>> {
    // Everything but NUL, which no variable can hold.
    let value = vec(any::<char>().prop_filter("NUL", |&c| c != '\0'), 0..12);
    let value = value.prop_map(String::from_iter);
    btree_map("[A-Z_][A-Z0-9_]{0,8}", value, 0..3)
}

fn any_mounts() -> impl Strategy<Value = Vec<Mount>> {
    let path = || "/[^\\pC/]{1,12}".prop_map(Into::into);
    let mount = (path(), path(), any::<bool>());
    let mount = mount.prop_map(|(container_path, host_path, read_only)| Mount {
        container_path,
        host_path,
        read_only,
    });
    vec(mount, 0..3)
}

fn any_device() -> impl Strategy<Value = (Node, BTreeMap<String, String>, Vec<Mount>)> {
    (any_node(), any_envs(), any_mounts())
}

fn any_shared() -> impl Strategy<Value = Shared> {
    let nodes = vec(any_node(), 0..3);
    let gids = btree_set(any::<u32>(), 0..3);
    let parts = (nodes, any_envs(), any_mounts(), gids);
    parts.prop_map(|(nodes, envs, mounts, additional_gids)| Shared {
        nodes,
        envs,
        mounts,
        additional_gids,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_written_is_read_as_it_was_meant(
        resource in "[a-z][a-z0-9]{0,5}(\\.[a-z]{1,5}){0,2}/[A-Za-z]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?",
        parts in btree_map(
            "[A-Za-z0-9]([-A-Za-z0-9_.:]{0,20}[A-Za-z0-9])?", any_device(), 1..6),
        shared in any_shared(),
    ) {
        let resource = kind(&resource);
        let ports = parts.iter().map(|(id, (node, envs, mounts))| Device {
            id: id.parse().unwrap(),
            node: node.clone(),
            envs: envs.clone(),
            mounts: mounts.clone(),
        });
        let spec = Spec::new(resource.clone(), ports, &shared).unwrap();
        let dir = tempdir().unwrap();
        prop_assert!(spec_dir(dir.path()).write(&spec).unwrap());

        let path = dir.path().join(format!("{}_{}.yaml", resource.vendor(), resource.name()));
        let read = reader::Spec::read(&path);
        prop_assert_eq!(read.devices.len(), parts.len());
        // The lowest version that has all of it (SPEC.md of CDI, "Released versions").
        let needed = match (shared.additional_gids.is_empty(), resource.name().contains('.')) {
            (false, _) => "0.7.0",
            (true, true) => "0.6.0",
            (true, false) => "0.5.0",
        };
        prop_assert_eq!(read.cdi_version, needed);
        prop_assert_eq!(read.container_edits.is_some(), shared != Shared::default());

        let reader = Reader::new(dir.path());
        for (id, (node, envs, mounts)) in &parts {
            let id: DeviceId = id.parse().unwrap();
            let name = qualified_name(&resource, &id).unwrap();
            prop_assert_eq!(reader.edits(&name).device_nodes.len(), 1);
            prop_assert_eq!(reader.edits(&name).mounts.len(), mounts.len());

            let container = reader.inject(&[&name]);
            let got = container.nodes.last().unwrap();
            prop_assert_eq!(Path::new(&got.path), &node.node.container_path);
            prop_assert_eq!(&got.permissions, &node.node.permissions);
            prop_assert_eq!((got.uid, got.gid), (node.owner.uid, node.owner.gid));
            prop_assert_eq!(got.file_mode, node.owner.mode);
            let host = got.host_path.as_ref().unwrap_or(&got.path);
            prop_assert_eq!(Path::new(host), &node.node.host_path);
            for (name, value) in envs {
                prop_assert_eq!(container.env.get(name), Some(value));
            }
            let gids: BTreeSet<u32> = shared.additional_gids.clone();
            prop_assert_eq!(container.gids, gids);
            prop_assert_eq!(container.mounts.len(), shared.mounts.len() + mounts.len());
        }
    }
}
