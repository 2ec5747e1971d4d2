//! Who holds what, asked of a kubelet of each age, and of its checkpoint when it is away.

use crate::{
    kubelet::DEADLINE,
    plugin::{Ports, resource},
};
use device_plugin::{
    DevicePlugin, KubeletDir, Supervisor,
    pods::{CHECKPOINT, PodResources, PodResourcesError, Pods, Source, read_checkpoint},
};
use node_sim::{EventKind, Fault, Kubelet, KubeletOptions, PodResources as Age, PodSpec};
use std::{fs, path::Path, sync::Arc};
use tempfile::TempDir;
use tokio::task::JoinSet;

const PORT: &str = "example.com/port";

/// A kubelet, and a resource with three devices.
struct Node {
    root: TempDir,
    kubelet: Kubelet,
    _supervisor: Supervisor,
}

impl Node {
    async fn new(age: Age) -> Self {
        let root = node_sim::scratch().unwrap();
        let dir = root.path().join("device-plugins");
        fs::create_dir(&dir).unwrap();
        let options = KubeletOptions::new().pod_resources(age);
        let kubelet = Kubelet::start_with(&dir, options).await.unwrap();
        let mut supervisor = Supervisor::new(KubeletDir::new(&dir));
        let ports: Arc<dyn DevicePlugin> = Ports::new(&["a", "b", "c"]);
        supervisor.offer(resource(), ports).unwrap();
        let all = |view: &node_sim::ResourceView| view.allocatable == 3;
        kubelet.wait_for(PORT, all, DEADLINE).await.unwrap();
        Self {
            root,
            kubelet,
            _supervisor: supervisor,
        }
    }

    fn client(&self) -> PodResources {
        PodResources::new(self.root.path().join("pod-resources/kubelet.sock"))
    }

    fn pods(&self) -> Pods {
        let dir = KubeletDir::new(self.root.path().join("device-plugins"));
        Pods::new(self.client().socket(), &dir)
    }

    /// A pod with one device: its name and the device.
    async fn admit(&self, name: &str) -> (node_sim::Pod, String) {
        let spec = PodSpec::new(name).request(PORT, 1);
        let pod = self.kubelet.admit(spec).await.unwrap();
        let id = pod.devices[PORT][0].clone();
        (pod, id)
    }

    fn questions(&self) -> usize {
        let asked = |event: &EventKind| matches!(event, EventKind::PodResources { .. });
        self.kubelet.transcript().count(asked)
    }
}

/// `tests/data` has what kubelet 1.20.2 wrote and answered for a pod of two containers.
#[test]
fn the_checkpoint_of_a_real_kubelet_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoint-1.20.2.json");
    let held = read_checkpoint(&path).unwrap();
    let all: Vec<_> = held
        .iter()
        .map(|(id, resource, holder)| (id, resource, holder.container.as_str()))
        .collect();
    let (fast, plain) = ("example.com/fast", "example.com/plain");
    let wanted = [
        ("f0", fast, "one"),
        ("f1", fast, "one"),
        ("f2", fast, "one"),
        ("p0", plain, "one"),
        ("p1", plain, "two"),
    ];
    assert_eq!(all, wanted);
}

#[tokio::test]
async fn a_new_kubelet_answers_everything() {
    let node = Node::new(Age::V1_34).await;
    let client = node.client();
    assert!(client.list().await.unwrap().is_empty());
    let (pod, id) = node.admit("vm").await;
    node.admit("other").await;

    let all = client.list().await.unwrap();
    assert_eq!(all.len(), 2);
    let one = client.get("default", "vm").await.unwrap();
    let held: Vec<_> = one.iter().collect();
    let [(held_id, resource, holder)] = held[..] else {
        panic!("{held:?}");
    };
    assert_eq!((held_id, resource), (id.as_str(), PORT));
    assert_eq!(holder.to_string(), "container main of pod default/vm");
    let allocatable = client.allocatable().await.unwrap();
    assert_eq!(allocatable[PORT].len(), 3, "held or not");

    let error = client.get("default", "nobody").await.unwrap_err();
    assert!(
        matches!(error, PodResourcesError::Refused { call: "Get", .. }),
        "{error}"
    );
    assert!(node.kubelet.delete(&pod));
    assert!(!client.list().await.unwrap().is_held(&id));
}

#[tokio::test]
async fn an_old_kubelet_lists_and_says_that_it_knows_no_more() {
    let node = Node::new(Age::V1_20).await;
    let (_pod, id) = node.admit("vm").await;
    let client = node.client();
    assert!(client.list().await.unwrap().is_held(&id));
    for error in [
        client.get("default", "vm").await.unwrap_err(),
        client.allocatable().await.unwrap_err(),
    ] {
        assert!(
            matches!(error, PodResourcesError::Unsupported { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn each_way_to_get_no_answer_is_told_apart() {
    let node = Node::new(Age::V1_27).await;
    let client = node.client();
    node.kubelet.once(Fault::HangPodResources);
    let error = client.list().await.unwrap_err();
    assert!(
        matches!(error, PodResourcesError::TimedOut { call: "List" }),
        "{error}"
    );
    node.kubelet.once(Fault::RefusePodResources {
        message: "not today".to_owned(),
    });
    let error = client.list().await.unwrap_err().to_string();
    assert_eq!(error, "the kubelet answers `List` with an error: not today");

    let mut busy = JoinSet::new();
    for _ in 0..64 {
        let client = client.clone();
        busy.spawn(async move { client.list().await });
    }
    let answers = busy.join_all().await;
    let exhausted = |answer: &Result<_, _>| matches!(answer, Err(PodResourcesError::Busy));
    assert!(answers.iter().any(exhausted), "64 at once are too many");

    node.kubelet.stop().await;
    let error = client.list().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(client.socket().to_str().unwrap()), "{text}");
    let nowhere = PodResources::new(node.root.path().join("nowhere.sock"));
    let error = nowhere.list().await.unwrap_err();
    assert!(matches!(error, PodResourcesError::Absent { .. }), "{error}");
}

#[tokio::test]
async fn when_the_kubelet_is_away_its_checkpoint_answers() {
    let node = Node::new(Age::V1_34).await;
    let (_pod, id) = node.admit("vm").await;
    node.kubelet.stop().await;
    let view = node.pods().view().await;
    assert!(
        matches!(view.source, Source::Checkpoint { .. }),
        "{:?}",
        view.source
    );
    assert!(view.holdings.is_held(&id));

    fs::write(
        node.root.path().join("device-plugins").join(CHECKPOINT),
        "{",
    )
    .unwrap();
    let view = node.pods().view().await;
    assert!(
        matches!(view.source, Source::Nobody { .. }),
        "{:?}",
        view.source
    );
    assert!(view.holdings.is_empty());
    let text = view.source.shortcoming().unwrap();
    assert!(text.contains("damaged"), "{text}");
}

#[tokio::test]
async fn where_its_socket_is_not_mounted_the_checkpoint_answers_and_the_view_says_what_to_mount() {
    let node = Node::new(Age::Absent).await;
    let (_pod, id) = node.admit("vm").await;
    let view = node.pods().view().await;
    assert!(view.holdings.is_held(&id));
    let text = view.source.shortcoming().unwrap();
    assert!(text.contains("mount its directory"), "{text}");
}

#[tokio::test]
async fn a_kubelet_that_has_just_started_may_forget_pods_that_its_checkpoint_knows() {
    let node = Node::new(Age::V1_34).await;
    let (pod, id) = node.admit("vm").await;
    let pods = node.pods();
    // As long as nothing else is allocated, the checkpoint still names the pod.
    assert!(node.kubelet.delete(&pod));
    assert!(!node.client().list().await.unwrap().is_held(&id));
    let view = pods.view().await;
    assert!(!view.settled);
    assert!(view.holdings.is_held(&id), "it may be about to hear of it");
}

/// In its first ten seconds a kubelet and its checkpoint are both asked. One knows names, the other UIDs.
#[tokio::test]
async fn new_kubelet_lists_each_holder_once() {
    let node = Node::new(Age::V1_34).await;
    let (_pod, id) = node.admit("vm").await;
    let view = node.pods().view().await;
    assert!(!view.settled);
    let held: Vec<_> = view.holdings.iter().collect();
    let [(held_id, PORT, holder)] = held[..] else {
        panic!("{held:?}");
    };
    assert_eq!(held_id, id);
    assert_eq!(holder.to_string(), "container main of pod default/vm");
}

#[tokio::test]
async fn many_who_ask_at_once_cost_one_question() {
    let node = Node::new(Age::V1_34).await;
    let pods = Arc::new(node.pods());
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let pods = Arc::clone(&pods);
        asking.spawn(async move { pods.view().await.asked });
    }
    let moments = asking.join_all().await;
    let (first, last) = (moments.iter().min(), moments.iter().max());
    let seconds = (*last.unwrap() - *first.unwrap()).as_secs_f64().ceil();
    // One, and one more for each second that a busy machine took.
    let questions = u32::try_from(node.questions()).unwrap();
    assert!(
        f64::from(questions) <= 1.0 + seconds,
        "{questions} questions in {seconds} s"
    );
}
