//! Admission: choice and Allocate.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use kubelet_api::deviceplugin::v1beta1::{AllocateResponse, DevicePluginOptions};
use node_sim::{AdmissionError, EventKind, KubeletOptions, PodSpec};
use tokio::{join, sync::watch};
use tonic::Status;

use super::{
    LIMIT, NIC, Node,
    plugin::{Answers, Plugin, answer_with, healthy, on_node},
};

#[tokio::test]
async fn allocates_for_one_container_in_random_order() {
    let node = Node::with(KubeletOptions::new().seed(1)).await;
    let ids: Vec<_> = (0..32).map(|n| format!("dev-{n:02}")).collect();
    let names: Vec<_> = ids.iter().map(String::as_str).collect();
    let plugin = node.nic(&names, Answers::default()).await;
    let pod = node.kubelet.admit([(NIC, 32)]).await.unwrap();
    let requests = plugin.calls.allocated.lock().unwrap().clone();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].container_requests.len(), 1);
    let asked = &requests[0].container_requests[0].devices_ids;
    assert_eq!(&pod.devices[NIC], asked);
    assert_ne!(asked, &ids);
    let set: BTreeSet<_> = asked.iter().cloned().collect();
    assert_eq!(set, ids.into_iter().collect());
    assert_eq!(pod.answer.envs["IDS"], asked.join(","));
    assert_eq!(node.kubelet.resource(NIC).unwrap().assigned, 32);
    assert!(plugin.calls.preferred.lock().unwrap().is_empty());
    assert!(node.kubelet.delete(&pod));
    assert!(!node.kubelet.delete(&pod));
    assert_eq!(node.kubelet.resource(NIC).unwrap().assigned, 0);
    assert_eq!(node.warnings(), [""; 0]);
}

#[tokio::test]
async fn only_the_first_container_response_counts() {
    let node = Node::new().await;
    let allocate = Box::new(|_: &[String]| {
        let mut answer = answer_with([("WHICH", "first".to_owned())]);
        answer
            .container_responses
            .extend(answer_with([("WHICH", "second".to_owned())]).container_responses);
        Ok(answer)
    });
    let _plugin = node
        .nic(
            &["a"],
            Answers {
                allocate,
                ..Answers::default()
            },
        )
        .await;
    let pod = node.kubelet.admit([(NIC, 1)]).await.unwrap();
    assert_eq!(pod.answer.to_string(), "env WHICH=first\n");
    assert_eq!(
        node.warnings(),
        ["Allocate: 1 container responses too many"]
    );
}

#[tokio::test]
async fn the_text_of_a_failure_is_the_kubelets() {
    let node = Node::new().await;
    let text = |error: AdmissionError| error.to_string();
    let error = node.kubelet.admit([(NIC, 1)]).await.unwrap_err();
    assert_eq!(
        text(error),
        "Pod was rejected: \
         Allocate failed due to cannot allocate unregistered device example.com/nic, which is \
         unexpected"
    );
    let answers = Arc::new(Mutex::new(vec![
        Ok(AllocateResponse::default()),
        Err(Status::failed_precondition(
            "port 3 is on fire; call the operator",
        )),
    ]));
    let allocate = Box::new(move |_: &[String]| answers.lock().unwrap().pop().unwrap());
    let plugin = node
        .nic(
            &["a"],
            Answers {
                allocate,
                ..Answers::default()
            },
        )
        .await;
    let error = node.kubelet.admit([(NIC, 1)]).await.unwrap_err();
    assert_eq!(
        text(error),
        "Pod was rejected: \
         Allocate failed due to rpc error: code = FailedPrecondition desc = port 3 is on fire; \
         call the operator, which is unexpected"
    );
    let error = node.kubelet.admit([(NIC, 1)]).await.unwrap_err();
    assert!(matches!(error, AdmissionError::EmptyAnswer { .. }));
    // A pod that failed has nothing.
    assert_eq!(node.kubelet.resource(NIC).unwrap().assigned, 0);
    let error = node.kubelet.admit([(NIC, 2)]).await.unwrap_err();
    assert_eq!(
        text(error),
        "Pod was rejected: \
         Allocate failed due to requested number of devices unavailable for example.com/nic. \
         Requested: 2, Available: 1, which is unexpected"
    );
    plugin.send(vec![]);
    node.kubelet
        .wait_for(NIC, |view| view.capacity == 0, LIMIT)
        .await
        .unwrap();
    let error = node.kubelet.admit([(NIC, 1)]).await.unwrap_err();
    assert_eq!(
        text(error),
        "Pod was rejected: \
         Allocate failed due to no healthy devices present; cannot allocate unhealthy devices \
         example.com/nic, which is unexpected"
    );
    let failed = |kind: &EventKind| matches!(kind, EventKind::Rejected { .. });
    assert_eq!(node.kubelet.transcript().count(failed), 5);
}

fn preferring(
    prefer: impl Fn(&[String]) -> Result<Vec<String>, Status> + Send + Sync + 'static,
) -> Answers {
    Answers {
        options: Ok(DevicePluginOptions {
            get_preferred_allocation_available: true,
            pre_start_required: false,
        }),
        prefer: Box::new(move |request| prefer(&request.available_device_i_ds)),
        ..Answers::default()
    }
}

#[tokio::test]
async fn a_preference_is_cut_to_what_is_allowed_and_filled_up() {
    let node = Node::new().await;
    let answers = preferring(|_| Ok(vec!["alien".to_owned(), "c".to_owned()]));
    let plugin = node.nic(&["a", "b", "c", "d"], answers).await;
    let pod = node.kubelet.admit([(NIC, 2)]).await.unwrap();
    assert_eq!(pod.devices[NIC].len(), 2);
    assert!(pod.devices[NIC].contains(&"c".to_owned()));
    assert_eq!(
        node.warnings(),
        ["GetPreferredAllocation: `alien` is not available"]
    );
    let second = node.kubelet.admit([(NIC, 1)]).await.unwrap();
    assert!(!pod.devices[NIC].contains(&second.devices[NIC][0]));
    let requests = plugin.calls.preferred.lock().unwrap().clone();
    let sizes: Vec<_> = requests
        .iter()
        .map(|request| &request.container_requests[0])
        .map(|c| (c.available_device_i_ds.len(), c.allocation_size))
        .collect();
    assert_eq!(sizes, [(4, 2), (2, 1)]);
}

#[tokio::test]
async fn aligned_devices_come_first_and_must_be_included() {
    let node = Node::new().await;
    let devices = vec![
        on_node("a0", 0),
        on_node("a1", 1),
        on_node("b1", 1),
        on_node("c1", 1),
    ];
    let answers = preferring(|available| {
        let mut ids = available.to_vec();
        ids.sort_unstable();
        Ok(ids)
    });
    let plugin = node.plugin("nic.sock", NIC, devices, answers).await;
    // More are aligned than needed: only those are offered.
    let spec = PodSpec::new("small").request(NIC, 1).numa_node(1);
    let pod = node.kubelet.admit(spec).await.unwrap();
    assert_ne!(pod.devices[NIC], ["a0"]);
    node.kubelet.delete(&pod);
    // Not enough are aligned: those are taken, and must be included.
    let spec = PodSpec::new("large").request(NIC, 2).numa_node(0);
    let pod = node.kubelet.admit(spec).await.unwrap();
    assert!(pod.devices[NIC].contains(&"a0".to_owned()));
    let requests = plugin.calls.preferred.lock().unwrap().clone();
    let containers: Vec<_> = requests.iter().map(|r| &r.container_requests[0]).collect();
    assert_eq!(containers[0].available_device_i_ds.len(), 3);
    assert!(containers[0].must_include_device_i_ds.is_empty());
    assert_eq!(containers[1].available_device_i_ds.len(), 4);
    assert_eq!(containers[1].must_include_device_i_ds, ["a0"]);
}

#[tokio::test]
async fn an_error_of_a_preference_fails_the_pod() {
    let node = Node::new().await;
    let _plugin = node
        .nic(&["a"], preferring(|_| Err(Status::internal("no idea"))))
        .await;
    let error = node.kubelet.admit([(NIC, 1)]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Pod was rejected: \
         Allocate failed due to device plugin GetPreferredAllocation rpc failed with err: rpc \
         error: code = Internal desc = no idea, which is unexpected"
    );
}

#[tokio::test]
async fn warns_when_a_device_in_use_leaves_the_list() {
    let node = Node::new().await;
    let plugin: Plugin = node.nic(&["a"], Answers::default()).await;
    let _pod = node.kubelet.admit([(NIC, 1)]).await.unwrap();
    plugin.send(vec![healthy("b")]);
    node.kubelet
        .wait_for(NIC, |view| view.lists_received == 2, LIMIT)
        .await
        .unwrap();
    assert_eq!(
        node.warnings(),
        ["`a` belongs to a pod and left the list; it should stay, as unhealthy"]
    );
}

#[tokio::test]
async fn warns_when_a_device_leaves_the_list_during_allocate() {
    let node = Node::new().await;
    let (open, gate) = watch::channel(false);
    let plugin = node
        .nic(
            &["a"],
            Answers {
                gate,
                ..Answers::default()
            },
        )
        .await;
    let shrink = async {
        node.kubelet
            .wait_for(NIC, |view| view.assigned == 1, LIMIT)
            .await
            .unwrap();
        plugin.send(vec![]);
        node.kubelet
            .wait_for(NIC, |view| view.capacity == 0, LIMIT)
            .await
            .unwrap();
        open.send_replace(true);
    };
    let (pod, ()) = join!(node.kubelet.admit([(NIC, 1)]), shrink);
    assert_eq!(pod.unwrap().devices[NIC], ["a"]);
    assert_eq!(
        node.warnings(),
        [
            "`a` belongs to a pod and left the list; it should stay, as unhealthy",
            "`a` left the list during Allocate; the kubelet would have crashed here",
        ]
    );
}
