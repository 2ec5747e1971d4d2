//! What runtimes make of our files.

use std::collections::{BTreeMap, BTreeSet};

use container_device_interface::{spec::read_spec, version::minimum_required_version};
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

use super::{device, devices, env, inject, kind, load, node, spec, spec_dir};

/// Nodes that every Linux has, by their numbers (Documentation/admin-guide/devices.txt).
const NODES: [(&str, i64); 4] = [
    ("/dev/null", 3),
    ("/dev/zero", 5),
    ("/dev/full", 7),
    ("/dev/urandom", 9),
];

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

    let mut cache = load(dir.path());
    assert_eq!(
        cache.list_devices(),
        [
            "example.com/port=0000:6b:00.1",
            "example.com/port=b",
            "example.com/port=c"
        ]
    );
    let asked = ["example.com/port=0000:6b:00.1", "example.com/port=b"];
    let container = inject(&mut cache, &asked);
    let got: Vec<_> = devices(&container)
        .into_iter()
        .map(|device| {
            let path = device.path().to_str().unwrap();
            let ids = (device.uid(), device.gid());
            (path, device.minor(), ids, device.file_mode())
        })
        .collect();
    let (null, zero, full) = (3, 5, 7);
    assert_eq!(
        got,
        [
            ("/dev/ports/all", full, (None, None), None),
            ("/dev/ports/0", zero, (Some(107), Some(108)), Some(0o600)),
            ("/dev/b", null, (None, None), None),
        ]
    );
    let resources = container.linux().as_ref().unwrap().resources();
    let allowed: Vec<_> = resources
        .as_ref()
        .unwrap()
        .devices()
        .iter()
        .flatten()
        .collect();
    let opened = |minor| {
        allowed.iter().any(|rule| {
            (rule.allow(), rule.minor(), rule.access().as_deref())
                == (true, Some(minor), Some("rw"))
        })
    };
    assert!([null, zero, full].into_iter().all(opened), "{allowed:?}");
    assert!(env(&container).contains(&"ALL=yes".to_owned()));
    assert!(env(&container).contains(&"LAST=b".to_owned()));
    let mounts = container.mounts().as_ref().unwrap();
    let mount = mounts.last().unwrap();
    assert_eq!(mount.destination().to_str(), Some("/run/ports"));
    assert_eq!(mount.source().as_ref().unwrap().to_str(), Some("/run"));
    assert_eq!(
        mount.options().as_ref().unwrap(),
        &["rbind", "rprivate", "ro"]
    );
    let user = container.process().as_ref().unwrap().user();
    assert_eq!(user.additional_gids().as_deref(), Some(&[44][..]));
}

#[test]
fn several_resources_and_an_update_are_read() {
    let dir = tempdir().unwrap();
    let specs = spec_dir(dir.path());
    specs.write(&spec("a.b/c", &["x", "y"])).unwrap();
    specs.write(&spec("a.b/c.d", &["x"])).unwrap();
    assert_eq!(
        load(dir.path()).list_devices(),
        ["a.b/c.d=x", "a.b/c=x", "a.b/c=y"]
    );
    specs.write(&spec("a.b/c", &["y", "z"])).unwrap();
    specs.remove(&kind("a.b/c.d")).unwrap();
    assert_eq!(load(dir.path()).list_devices(), ["a.b/c=y", "a.b/c=z"]);
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
            let mut node = node(NODES[index].0, &container);
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
        let mut read = read_spec(&path, 0).unwrap();
        prop_assert_eq!(read.get_devices().len(), parts.len());
        let needed = minimum_required_version(&read.cdi_spec).unwrap().to_string();
        let text = serde_json::to_value(&read.cdi_spec).unwrap();
        prop_assert_eq!(text["cdiVersion"].as_str(), Some(needed.as_str().max("0.5.0")));
        prop_assert_eq!(
            read.edits().is_some(),
            shared != Shared::default()
        );

        let mut cache = load(dir.path());
        for (id, (node, envs, mounts)) in &parts {
            let id: DeviceId = id.parse().unwrap();
            let name = qualified_name(&resource, &id).unwrap();
            let edits = cache.get_device(&name).unwrap().edits().container_edits;
            prop_assert_eq!(edits.device_nodes.map(|nodes| nodes.len()), Some(1));
            prop_assert_eq!(edits.mounts.map_or(0, |mounts| mounts.len()), mounts.len());

            let container = inject(&mut cache, &[&name]);
            let got = devices(&container);
            let got = got.last().unwrap();
            prop_assert_eq!(got.path(), &node.node.container_path);
            prop_assert_eq!((got.uid(), got.gid()), (node.owner.uid, node.owner.gid));
            prop_assert_eq!(got.file_mode(), node.owner.mode);
            let host = node.node.host_path.to_str().unwrap();
            prop_assert!(NODES.contains(&(host, got.minor())));
            let wanted: BTreeSet<String> =
                envs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let given: BTreeSet<String> = env(&container).iter().cloned().collect();
            prop_assert!(wanted.is_subset(&given), "{:?} in {:?}", wanted, given);
        }
    }
}
