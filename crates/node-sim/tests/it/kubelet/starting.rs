//! The start of containers: `PreStartContainer`.

use std::{collections::BTreeMap, time::Duration};

use kubelet_api::deviceplugin::v1beta1::DevicePluginOptions;
use node_sim::{EventKind, KubeletOptions, Pod, Restart, StartError};
use tokio::{join, select, sync::watch};
use tonic::Status;

use super::{LIMIT, NIC, Node, plugin::Answers};

fn starting(pre_start: impl Fn() -> Option<Result<(), Status>> + Send + Sync + 'static) -> Answers {
    Answers {
        options: Ok(DevicePluginOptions {
            get_preferred_allocation_available: false,
            pre_start_required: true,
        }),
        pre_start: Box::new(pre_start),
        ..Answers::default()
    }
}

fn failures(node: &Node) -> usize {
    let failed = |kind: &EventKind| matches!(kind, EventKind::StartFailed { .. });
    node.kubelet.transcript().count(failed)
}

#[tokio::test]
async fn each_start_of_a_container_is_announced() {
    let node = Node::new().await;
    let plugin = node.nic(&["a"], starting(|| Some(Ok(())))).await;
    let pod = node.kubelet.admit([(NIC, 1)]).await.unwrap();
    assert_eq!(pod.started, Ok(()));
    node.kubelet.restart_container(&pod).await.unwrap();
    assert_eq!(*plugin.calls.pre_started.lock().unwrap(), [["a"], ["a"]]);
    assert_eq!(plugin.calls.allocated.lock().unwrap().len(), 1);
}

/// The pod has its device, and nobody else gets it.
async fn assert_admitted(node: &Node, pod: &Pod) {
    assert_eq!(pod.devices[NIC], ["a"]);
    assert_eq!(node.kubelet.resource(NIC).unwrap().assigned, 1);
    node.kubelet.admit([(NIC, 1)]).await.unwrap_err();
    let admitted = |kind: &EventKind| matches!(kind, EventKind::Admitted { .. });
    assert_eq!(node.kubelet.transcript().count(admitted), 1);
}

#[tokio::test]
async fn a_start_that_is_refused_fails_and_can_be_tried_again() {
    let node = Node::new().await;
    let (ready, is_ready) = watch::channel(false);
    let answers = starting(move || {
        Some(if *is_ready.borrow() {
            Ok(())
        } else {
            Err(Status::aborted("still in reset"))
        })
    });
    let plugin = node.nic(&["a"], answers).await;
    let pod = node.kubelet.admit([(NIC, 1)]).await.unwrap();
    let error = pod.started.clone().unwrap_err();
    assert_eq!(
        error.to_string(),
        "device plugin PreStartContainer rpc failed with err: rpc error: code = Aborted desc = \
         still in reset"
    );
    assert_admitted(&node, &pod).await;
    assert_eq!(node.kubelet.restart_container(&pod).await, Err(error));
    assert_eq!(failures(&node), 2);
    ready.send_replace(true);
    node.kubelet.restart_container(&pod).await.unwrap();
    assert_eq!(failures(&node), 2);
    assert_eq!(plugin.calls.allocated.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_start_that_is_late_fails() {
    let options = KubeletOptions::new().pre_start_timeout(Duration::from_millis(50));
    let node = Node::with(options).await;
    let _plugin = node.nic(&["a"], starting(|| None)).await;
    let pod = node.kubelet.admit([(NIC, 1)]).await.unwrap();
    let Err(StartError::PreStart { code, .. }) = &pod.started else {
        panic!("{:?}", pod.started);
    };
    assert_eq!(code, "DeadlineExceeded");
    assert_admitted(&node, &pod).await;
}

#[tokio::test]
async fn a_start_that_hangs_keeps_no_other_pod_waiting() {
    let node = Node::with(KubeletOptions::new().pre_start_timeout(LIMIT)).await;
    let plugin = node.nic(&["a", "b"], starting(|| None)).await;
    let both = async {
        join!(
            node.kubelet.admit([(NIC, 1)]),
            node.kubelet.admit([(NIC, 1)])
        )
    };
    let admitted = async {
        let mut starts = plugin.calls.starts.subscribe();
        starts.wait_for(|starts| *starts == 2).await.unwrap();
    };
    select! {
        pods = both => panic!("PreStartContainer never answers: {pods:?}"),
        () = admitted => {}
    }
}

#[tokio::test]
async fn a_dropped_admission_frees_its_devices() {
    let node = Node::with(KubeletOptions::new().pre_start_timeout(LIMIT)).await;
    let plugin = node.nic(&["a"], starting(|| None)).await;
    let admission = node.kubelet.admit([(NIC, 1)]);
    let admitted = |kind: &EventKind| matches!(kind, EventKind::Admitted { .. });
    select! {
        _ = admission => panic!("PreStartContainer never answers"),
        found = node.kubelet.wait_for_event("admitted", 0, admitted, LIMIT) => drop(found.unwrap()),
    }
    assert_eq!(plugin.calls.allocated.lock().unwrap().len(), 1);
    assert_eq!(node.kubelet.resource(NIC).unwrap().assigned, 0);
}

#[tokio::test]
async fn a_restart_needs_no_plugin_that_does_not_want_to_hear_of_it() {
    let options = KubeletOptions::new().stop_grace(LIMIT);
    let node = Node::with(options).await;
    let plugin = node.nic(&["a"], Answers::default()).await;
    let pod = node.kubelet.admit([(NIC, 1)]).await.unwrap();
    assert!(node.kubelet.hang_up(NIC));
    node.kubelet
        .wait_for(NIC, |view| view.allocatable == 0, LIMIT)
        .await
        .unwrap();
    node.kubelet.restart_container(&pod).await.unwrap();
    drop(plugin);
    // The same holds when only the checkpoint knows of the pod.
    node.kubelet
        .restart(Restart::WipeSockets, Duration::ZERO)
        .await
        .unwrap();
    node.kubelet.restart_container(&pod).await.unwrap();
    assert_eq!(failures(&node), 0);
}

#[tokio::test]
async fn a_restart_needs_a_plugin_that_wants_to_hear_of_it() {
    let node = Node::new().await;
    let _plugin = node.nic(&["a"], starting(|| Some(Ok(())))).await;
    let pod = node.kubelet.admit([(NIC, 1)]).await.unwrap();
    assert!(node.kubelet.hang_up(NIC));
    node.kubelet
        .wait_for(NIC, |view| view.allocatable == 0, LIMIT)
        .await
        .unwrap();
    let error = node.kubelet.restart_container(&pod).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "device plugin PreStartContainer rpc failed with err: endpoint example.com/nic has been \
         stopped"
    );
    // A kubelet that has just begun does not know what the plugin wants.
    node.kubelet
        .restart(Restart::KeepSockets, Duration::ZERO)
        .await
        .unwrap();
    node.kubelet.restart_container(&pod).await.unwrap();
}

#[tokio::test]
async fn no_container_starts_on_a_resource_that_is_forgotten() {
    let node = Node::with(KubeletOptions::new().stop_grace(Duration::ZERO)).await;
    let plugin = node.nic(&["a"], Answers::default()).await;
    let pod = node.kubelet.admit([(NIC, 1)]).await.unwrap();
    plugin.end();
    node.kubelet
        .wait_until("oblivion", BTreeMap::is_empty, LIMIT)
        .await
        .unwrap();
    let error = node.kubelet.restart_container(&pod).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "endpoint not found in cache for a registered resource: example.com/nic"
    );
}
