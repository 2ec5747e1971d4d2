//! `Register`, the dial back, and the device lists.

use kubelet_api::deviceplugin::v1beta1::{Device, DevicePluginOptions, RegisterRequest};
use node_sim::{EventKind, Fault, KubeletOptions, PluginOptions, ResourceView};
use std::time::Duration;
use tokio::select;
use tonic::{Code, Status};

use super::{
    LIMIT, NIC, Node,
    plugin::{Answers, Plugin, healthy, on_node, register, request, send_register, sick},
};

#[tokio::test]
async fn dials_back_inside_register() {
    let node = Node::new().await;
    let options = DevicePluginOptions {
        get_preferred_allocation_available: true,
        pre_start_required: false,
    };
    let answers = Answers {
        options: Ok(options),
        ..Answers::default()
    };
    let plugin = Plugin::serve(node.dir(), "nic.sock", vec![healthy("a")], answers);
    let announced = Some(DevicePluginOptions::default());
    let request = kubelet_request(announced);
    send_register(node.dir(), request).await.unwrap();
    // The answer of the call counts, and was there before Register returned.
    let view = node.kubelet.resource(NIC).unwrap();
    let preferred_allocation = true;
    assert_eq!(
        view.options,
        PluginOptions {
            preferred_allocation,
            pre_start: false
        }
    );
    assert_eq!(view.endpoint, "nic.sock");
    node.kubelet
        .wait_for(NIC, |view| view.allocatable == 1, LIMIT)
        .await
        .unwrap();
    let order: Vec<_> = node
        .kubelet
        .transcript()
        .events()
        .iter()
        .map(|event| match event.kind {
            EventKind::Started { .. } => "start",
            EventKind::Register { .. } => "register",
            EventKind::Dialled { .. } => "dial",
            EventKind::Options { .. } => "options",
            EventKind::Registered { .. } => "registered",
            EventKind::StreamOpened { .. } => "stream",
            EventKind::List { .. } => "list",
            EventKind::Warning { .. } => "warning",
            _ => "other",
        })
        .collect();
    let expected = [
        "start",
        "register",
        "dial",
        "options",
        "warning",
        "registered",
        "stream",
        "list",
    ];
    assert_eq!(order, expected);
    let authorities = plugin.calls.authorities.lock().unwrap().clone();
    assert_eq!(authorities, ["localhost", "localhost"]);
}

fn kubelet_request(options: Option<DevicePluginOptions>) -> RegisterRequest {
    let mut request = request("nic.sock", NIC);
    request.options = options;
    request
}

#[tokio::test]
async fn refuses_what_the_real_one_refuses() {
    let node = Node::new().await;
    let dir = node.dir();
    let mut old = request("nic.sock", NIC);
    old.version = "v1alpha".to_owned();
    let status = send_register(dir, old).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert_eq!(
        status.message(),
        "requested API version \"v1alpha\" is not supported by kubelet. Supported version is \
         [\"v1beta1\"]"
    );
    let status = register(dir, "nic.sock", "nic").await.unwrap_err();
    assert_eq!(status.message(), "the ResourceName \"nic\" is invalid");
    let options = Err(Status::internal("not today"));
    let answers = Answers {
        options,
        ..Answers::default()
    };
    let _plugin = Plugin::serve(dir, "nic.sock", vec![], answers);
    let status = register(dir, "nic.sock", NIC).await.unwrap_err();
    assert_eq!(
        status.message(),
        "failed to get device plugin options: rpc error: code = Internal desc = not today"
    );
    assert!(node.kubelet.resources().is_empty());
    let refused = |kind: &EventKind| matches!(kind, EventKind::Refused { .. });
    assert_eq!(node.kubelet.transcript().count(refused), 3);
}

#[tokio::test]
async fn gives_up_a_socket_that_nobody_serves() {
    let options = KubeletOptions::new().dial_timeout(Duration::from_millis(50));
    let node = Node::with(options).await;
    let status = register(node.dir(), "nobody.sock", NIC).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    let text = "failed to dial device plugin: context deadline exceeded";
    assert!(status.message().starts_with(text), "{status}");
    assert!(node.kubelet.resources().is_empty());
}

#[tokio::test]
async fn warns_about_a_first_list_that_is_empty() {
    let node = Node::new().await;
    let plugin = node.nic(&[], Answers::default()).await;
    let expected = ["the first list is empty; look first, register after"];
    assert_eq!(node.warnings(), expected);
    // A later list may be empty.
    for (count, devices) in [(2, vec![healthy("a")]), (3, vec![])] {
        plugin.send(devices);
        let listed = |view: &ResourceView| view.lists_received == count;
        node.kubelet.wait_for(NIC, listed, LIMIT).await.unwrap();
    }
    assert_eq!(node.warnings(), expected);
}

#[tokio::test]
async fn each_list_replaces_the_one_before() {
    let node = Node::new().await;
    let plugin = node.nic(&["a", "b"], Answers::default()).await;
    plugin.send(vec![sick("b"), healthy("c"), healthy("d")]);
    let view = node
        .kubelet
        .wait_for(NIC, |view| view.lists_received == 2, LIMIT)
        .await
        .unwrap();
    assert_eq!((view.capacity, view.allocatable), (3, 2));
    let ids: Vec<_> = view
        .devices
        .iter()
        .map(|d| (d.id.as_str(), d.healthy))
        .collect();
    assert_eq!(ids, [("b", false), ("c", true), ("d", true)]);
    plugin.send(vec![]);
    let view = node
        .kubelet
        .wait_for(NIC, |view| view.lists_received == 3, LIMIT)
        .await
        .unwrap();
    assert_eq!((view.capacity, view.allocatable), (0, 0));
    let many: Vec<_> = (0..4096)
        .map(|n| on_node(&format!("0000:00:{n:04x}"), n % 2))
        .collect();
    plugin.send(many);
    node.kubelet
        .wait_for(NIC, |view| view.allocatable == 4096, LIMIT)
        .await
        .unwrap();
    assert_eq!(node.warnings(), [""; 0]);
}

#[tokio::test]
async fn warns_about_what_works_by_luck() {
    let node = Node::new().await;
    let long = "x".repeat(64);
    let odd = Device {
        health: "healthy".to_owned(),
        ..healthy("odd")
    };
    let list = vec![
        healthy(&long),
        healthy("twin"),
        healthy("twin"),
        odd,
        on_node("n", 0),
    ];
    let plugin = node
        .plugin("nic.sock", NIC, list.clone(), Answers::default())
        .await;
    plugin.send(list);
    let view = node
        .kubelet
        .wait_for(NIC, |view| view.lists_received == 2, LIMIT)
        .await
        .unwrap();
    assert_eq!((view.capacity, view.allocatable), (4, 3));
    let other = vec![healthy("twin")];
    let _other = node
        .plugin("b.sock", "example.com/b", other, Answers::default())
        .await;
    let warnings = node.warnings().join("\n");
    for text in [
        "has 64 characters, the limit is 63",
        "the ID `twin` is in the list twice",
        "the health of `odd` is `healthy`, which counts as unhealthy",
        "3 of 4 devices have no NUMA node",
        "the list is the same as before",
        "the ID `twin` is also a device of example.com/nic",
    ] {
        assert!(warnings.contains(text), "{text} not in\n{warnings}");
    }
}

#[tokio::test]
async fn faults_strike_at_their_step() {
    let options = KubeletOptions::new()
        .once(Fault::refuse("out of order"))
        .once(Fault::NoDialBack)
        .once(Fault::DelayOptions(LIMIT));
    let node = Node::with(options).await;
    let dir = node.dir();
    let plugin = Plugin::serve(dir, "nic.sock", vec![healthy("a")], Answers::default());
    let status = register(dir, "nic.sock", NIC).await.unwrap_err();
    assert_eq!(status.message(), "out of order");
    register(dir, "nic.sock", NIC).await.unwrap();
    assert!(node.kubelet.resources().is_empty());
    assert!(plugin.calls.authorities.lock().unwrap().is_empty());
    // A plugin that is not patient enough leaves nothing behind.
    let delayed = |kind: &EventKind| {
        let EventKind::Misbehaved { fault, .. } = kind else {
            return false;
        };
        *fault == Fault::DelayOptions(LIMIT)
    };
    select! {
        answer = register(dir, "nic.sock", NIC) => panic!("{answer:?}"),
        event = node.kubelet.wait_for_event("the delay", 0, delayed, LIMIT) => drop(event.unwrap()),
    }
    let gave_up = |kind: &EventKind| matches!(kind, EventKind::Abandoned { .. });
    node.kubelet
        .wait_for_event("abandoned", 0, gave_up, LIMIT)
        .await
        .unwrap();
    assert!(node.kubelet.resources().is_empty());
    node.kubelet.always(Fault::DropStreamAfter { lists: 1 });
    for round in 1..=2 {
        register(dir, "nic.sock", NIC).await.unwrap();
        let dropped = |v: &ResourceView| v.lists_received == round && !v.streaming;
        let view = node.kubelet.wait_for(NIC, dropped, LIMIT).await.unwrap();
        assert_eq!((view.capacity, view.allocatable), (1, 0));
        plugin.streams(0).await;
    }
    node.kubelet.behave();
    register(dir, "nic.sock", NIC).await.unwrap();
    node.kubelet
        .wait_for(NIC, |v| v.streaming && v.allocatable == 1, LIMIT)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_missed_deadline_tells_the_story() {
    let node = Node::with(KubeletOptions::new().seed(77)).await;
    let _plugin = node.nic(&["a"], Answers::default()).await;
    let never = node
        .kubelet
        .wait_for(NIC, |_| false, Duration::from_millis(50))
        .await;
    let text = format!("{:?}", never.unwrap_err());
    for part in [
        "waited 50ms in vain for a state of example.com/nic",
        "1 of 1 devices allocatable",
        "(seed 77)",
        "example.com/nic: list on stream 1, 1 healthy, 0 unhealthy",
    ] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
}
