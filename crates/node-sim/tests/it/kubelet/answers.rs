//! Answers of Allocate: what is merged, what is warned about.

use kubelet_api::deviceplugin::v1beta1::{
    AllocateResponse, CdiDevice, ContainerAllocateResponse, DeviceSpec, Mount,
};
use node_sim::{ConflictKind, EventKind};

use super::{
    NIC, Node,
    plugin::{Answers, healthy},
};

#[tokio::test]
async fn answers_are_merged_and_the_first_wins() {
    let node = Node::new().await;
    let answer = |who: &'static str| Answers {
        allocate: Box::new(move |_| {
            Ok(AllocateResponse {
                container_responses: vec![ContainerAllocateResponse {
                    envs: [("WHO", who), (who, "1"), ("SAME", "1")]
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .into(),
                    devices: ["/dev/shared", who]
                        .map(|path| DeviceSpec {
                            container_path: path.to_owned(),
                            host_path: path.to_owned(),
                            permissions: "rw".to_owned(),
                        })
                        .into(),
                    mounts: vec![Mount {
                        container_path: "/lib/fw".to_owned(),
                        host_path: format!("/opt/{who}"),
                        read_only: true,
                    }],
                    cdi_devices: vec![CdiDevice {
                        name: "example.com/nic=1".to_owned(),
                    }],
                    ..Default::default()
                }],
            })
        }),
        ..Answers::default()
    };
    let _a = node
        .plugin("a.sock", "example.com/a", vec![healthy("a")], answer("A"))
        .await;
    let _b = node
        .plugin("b.sock", "example.com/b", vec![healthy("b")], answer("B"))
        .await;
    let pod = node
        .kubelet
        .admit([("example.com/a", 1), ("example.com/b", 1)])
        .await
        .unwrap();
    let (first, second) = match pod.answer.envs["WHO"].as_str() {
        "A" => ("A", "B"),
        _ => ("B", "A"),
    };
    assert_eq!(
        pod.answer.to_string(),
        format!(
            "env A=1\nenv B=1\nenv SAME=1\nenv WHO={first}\n\
             device /dev/shared -> /dev/shared rw\n\
             device {first} -> {first} rw\ndevice {second} -> {second} rw\n\
             mount /opt/{first} -> /lib/fw ro\ncdi example.com/nic=1\n"
        )
    );
    let conflicts: Vec<_> = pod
        .conflicts
        .iter()
        .map(|c| (c.kind, c.key.as_str()))
        .collect();
    assert_eq!(
        conflicts,
        [(ConflictKind::Env, "WHO"), (ConflictKind::Mount, "/lib/fw")]
    );
    let recorded = |kind: &EventKind| matches!(kind, EventKind::Conflict { .. });
    assert_eq!(node.kubelet.transcript().count(recorded), 2);
    assert_eq!(pod.answers.len(), 2);
}

#[tokio::test]
async fn warns_about_answers_that_only_a_runtime_would_refuse() {
    let node = Node::new().await;
    let node_of = |container: &str, host: &str, permissions: &str| DeviceSpec {
        container_path: container.to_owned(),
        host_path: host.to_owned(),
        permissions: permissions.to_owned(),
    };
    let answer = ContainerAllocateResponse {
        envs: [("A=B".to_owned(), "1".to_owned())].into(),
        devices: vec![
            node_of("/dev/a", "dev/a", "rw"),
            node_of("/dev/a", "/dev/b", "all"),
        ],
        mounts: vec![Mount {
            container_path: String::new(),
            host_path: "/opt/fw".to_owned(),
            read_only: true,
        }],
        cdi_devices: vec![CdiDevice {
            name: "vf0".to_owned(),
        }],
        ..Default::default()
    };
    let allocate = Box::new(move |_: &[String]| {
        let container_responses = vec![answer.clone()];
        Ok(AllocateResponse {
            container_responses,
        })
    });
    let answers = Answers {
        allocate,
        ..Answers::default()
    };
    let _plugin = node.nic(&["a"], answers).await;
    // The pod is admitted all the same.
    node.kubelet.admit([(NIC, 1)]).await.unwrap();
    assert_eq!(
        node.warnings(),
        [
            "Allocate: the variable `A=B` has a `=` or NUL in its name",
            "Allocate: the device `/dev/a` has the permissions `all`, not some of `rwm`",
            "Allocate: the host path `dev/a` of a device is relative",
            "Allocate: the container path `/dev/a` is there twice",
            "Allocate: a mount has an empty container path",
            "Allocate: the CDI name `vf0` is not `vendor/class=name`",
        ]
    );
}
