use super::*;
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

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
        node: node(&format!("/dev/{id}"), &format!("/dev/{id}")),
        envs: BTreeMap::new(),
        mounts: Vec::new(),
    }
}

fn kind() -> ResourceName {
    "example.com/port".parse().unwrap()
}

fn spec(devices: impl IntoIterator<Item = Device>) -> Result<Spec, SpecError> {
    Spec::new(kind(), devices, &Shared::default())
}

#[test]
fn a_small_specification_says_what_is_needed_and_no_more() {
    let expected = r#"{
  "cdiVersion": "0.5.0",
  "devices": [
    {
      "containerEdits": {
        "deviceNodes": [
          {
            "path": "/dev/a",
            "permissions": "rw"
          }
        ]
      },
      "name": "a"
    }
  ],
  "kind": "example.com/port"
}"#;
    assert_eq!(spec([device("a")]).unwrap().to_string(), expected);
}

#[test]
fn a_large_specification_says_everything() {
    let expected = r#"{
  "cdiVersion": "0.7.0",
  "containerEdits": {
    "additionalGids": [
      5,
      44
    ],
    "deviceNodes": [
      {
        "path": "/dev/all",
        "permissions": "rw"
      }
    ],
    "env": [
      "A=1",
      "B="
    ],
    "mounts": [
      {
        "containerPath": "/c",
        "hostPath": "/h",
        "options": [
          "rbind",
          "rprivate",
          "ro"
        ]
      }
    ]
  },
  "devices": [
    {
      "containerEdits": {
        "deviceNodes": [
          {
            "fileMode": 432,
            "gid": 0,
            "hostPath": "/dev/x",
            "path": "/dev/y",
            "permissions": "rw",
            "uid": 107
          }
        ],
        "env": [
          "NAME=x\ny\u007f"
        ],
        "mounts": [
          {
            "containerPath": "/c",
            "hostPath": "/h",
            "options": [
              "rbind",
              "rprivate",
              "rw"
            ]
          }
        ]
      },
      "name": "a"
    }
  ],
  "kind": "example.com/port"
}"#;
    let mount = |read_only| Mount {
        container_path: "/c".into(),
        host_path: "/h".into(),
        read_only,
    };
    let shared = Shared {
        nodes: vec![node("/dev/all", "/dev/all")],
        envs: [("B", ""), ("A", "1")]
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        mounts: vec![mount(true)],
        additional_gids: [44, 5].into(),
    };
    let port = Device {
        node: Node {
            owner: Owner {
                uid: Some(107),
                gid: Some(0),
                mode: Some(0o660),
            },
            ..node("/dev/x", "/dev/y")
        },
        envs: [("NAME".to_owned(), "x\ny\u{7f}".to_owned())].into(),
        mounts: vec![mount(false)],
        ..device("a")
    };
    let spec = Spec::new(kind(), [port], &shared).unwrap();
    assert_eq!(spec.to_string(), expected);
}

#[test]
fn the_order_of_devices_has_no_meaning() {
    let forward = spec(["a", "b", "c"].map(device)).unwrap();
    assert_eq!(spec(["c", "a", "b"].map(device)).unwrap(), forward);
}

#[test]
fn devices_have_different_ids_and_there_is_one() {
    let id = "a".parse().unwrap();
    let error = spec(["a", "b", "a"].map(device)).unwrap_err();
    assert_eq!(error, SpecError::Duplicate { id });
    assert_eq!(spec([]).unwrap_err(), SpecError::NoDevices { kind: kind() });
}

#[test]
fn names_are_those_of_cdi() {
    let class: ResourceName = "example.com/4xxx".parse().unwrap();
    let error = Spec::new(class.clone(), [device("a")], &Shared::default()).unwrap_err();
    assert_eq!(error, SpecError::Class { kind: class });
    let id: DeviceId = "a/b".parse().unwrap();
    let bad = Device {
        id: id.clone(),
        ..device("a")
    };
    assert_eq!(spec([bad]).unwrap_err(), SpecError::Device { id });
}

#[test]
fn paths_are_absolute_text() {
    for bad in [
        OsStr::new(""),
        OsStr::new("dev/a"),
        OsStr::new("/dev/a\n"),
        OsStr::new("/dev/\u{85}"),
        OsStr::from_bytes(b"/dev/\xff"),
    ] {
        let path = Path::new(bad).to_owned();
        let mut host = device("a");
        host.node.node.host_path.clone_from(&path);
        let mut container = device("a");
        container.node.node.container_path.clone_from(&path);
        let mut mounted = device("a");
        mounted.mounts.push(Mount {
            container_path: "/c".into(),
            host_path: path.clone(),
            read_only: true,
        });
        let shared = Shared {
            nodes: vec![container.node.clone()],
            ..Shared::default()
        };
        let path = SpecError::Path { path };
        for bad in [host, container, mounted] {
            assert_eq!(spec([bad]).unwrap_err(), path);
        }
        assert_eq!(Spec::new(kind(), [device("a")], &shared).unwrap_err(), path);
    }
}

#[test]
fn permissions_and_modes_are_checked() {
    for bad in ["", "rx", "RW", "r w"] {
        let mut device = device("a");
        device.node.node.permissions = bad.to_owned();
        let error = spec([device]).unwrap_err();
        assert!(matches!(error, SpecError::Permissions { .. }), "{error}");
    }
    let mut device = device("a");
    device.node.owner.mode = Some(0o4777);
    let error = spec([device]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "mode 0o4777 of device node `/dev/a` is above 0o777"
    );
}

#[test]
fn variables_are_checked() {
    for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "\0")] {
        let shared = Shared {
            envs: [(name.to_owned(), value.to_owned())].into(),
            ..Shared::default()
        };
        let error = Spec::new(kind(), [device("a")], &shared).unwrap_err();
        let name = name.to_owned();
        assert_eq!(error, SpecError::Variable { name });
    }
}
