//! What an observer is told, and what is said of a kubelet that does not listen.

use crate::{
    kubelet::{DEADLINE, Kubelet, dial},
    plugin::{Node, Ports, resource, wait_for},
};
use device_plugin::{
    AllocateError, Call, DevicePlugin, DeviceSet, KubeletDir, Observer, ResourceName, State,
    Supervisor,
};
use kubelet_api::deviceplugin::v1beta1::{AllocateRequest, ContainerAllocateRequest};
use node_sim::{Fault, KubeletOptions};
use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::timeout;

/// Longer than the kubelet has to begin to listen.
const PATIENCE: Duration = Duration::from_secs(25);

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn add(&self, note: String) {
        self.0.lock().unwrap().push(note);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Notes {
    fn state_changed(&self, resource: &ResourceName, state: &State) {
        self.add(format!("{resource}: {state:?}"));
    }

    fn list_sent(&self, resource: &ResourceName, devices: &DeviceSet) {
        self.add(format!("{resource}: {} devices", devices.len()));
    }

    fn call_answered(
        &self,
        resource: &ResourceName,
        call: Call,
        _took: Duration,
        error: Option<&AllocateError>,
    ) {
        let error = error.map_or_else(|| "ok".to_owned(), ToString::to_string);
        self.add(format!("{resource}: {call:?} {error}"));
    }
}

#[tokio::test]
async fn it_is_told_of_states_lists_and_calls_in_order() {
    let mut node = Node::new();
    let notes = Arc::new(Notes::default());
    let observer = Arc::<Notes>::clone(&notes);
    node.supervisor = Supervisor::new(KubeletDir::new(node.path())).observed_by(observer);
    let mut kubelet = Kubelet::start(node.path());
    let ports = Ports::new(&["a", "b"]);
    node.offer(&ports);
    assert_eq!(kubelet.list().await, ["a", "b"]);
    node.state(State::Streaming).await;

    let mut client = dial(&node.socket()).await;
    for id in ["a", "z"] {
        let devices_ids = vec![id.to_owned()];
        let container_requests = vec![ContainerAllocateRequest { devices_ids }];
        let request = AllocateRequest { container_requests };
        let answer = client.allocate(request).await;
        assert_eq!(answer.is_ok(), id == "a");
    }
    node.supervisor.shutdown(DEADLINE).await;
    let wanted = [
        "Registering",
        "Registered",
        "Streaming",
        "2 devices",
        "Allocate ok",
        "Allocate there is no device `z`",
        "Draining",
        "Stopped",
    ];
    let mut wanted = wanted
        .map(|note| format!("{}: {note}", resource()))
        .to_vec();
    let mut notes = notes.all();
    // The stream may be there before Register is answered, and be read before that is noticed.
    let list = |note: &String| note.ends_with("devices");
    assert_eq!(notes.iter().filter(|note| list(note)).count(), 1);
    notes.retain(|note| !list(note));
    wanted.retain(|note| !list(note));
    assert_eq!(notes, wanted);
}

#[tokio::test]
async fn a_kubelet_that_registers_and_does_not_listen_is_reported_until_it_does() {
    let root = node_sim::scratch().unwrap();
    let dir = root.path().join("device-plugins");
    fs::create_dir(&dir).unwrap();
    let options = KubeletOptions::new().always(Fault::NoDialBack);
    let kubelet = node_sim::Kubelet::start_with(&dir, options).await.unwrap();
    let notes = Arc::new(Notes::default());
    let observer = Arc::<Notes>::clone(&notes);
    let mut supervisor = Supervisor::new(KubeletDir::new(&dir)).observed_by(observer);
    let ports: Arc<dyn DevicePlugin> = Ports::new(&["a"]);
    supervisor.offer(resource(), ports).unwrap();

    let mut states = supervisor.states();
    let reported = states.wait_for(|states| states.get(&resource()) == Some(&State::NotHeard));
    assert!(timeout(PATIENCE, reported).await.is_ok());
    assert!(!State::NotHeard.is_serving());
    let text = State::NotHeard.to_string();
    assert!(text.contains("older than 1.26 cannot talk"), "{text}");

    kubelet.behave();
    wait_for(&mut states, &State::Streaming).await;
    let notes = notes.all();
    let after = notes.iter().skip_while(|note| !note.ends_with("NotHeard"));
    let after: Vec<_> = after.filter(|note| !note.ends_with("devices")).collect();
    assert_eq!(after.len(), 2, "no step in between is reported: {notes:?}");
    supervisor.shutdown(DEADLINE).await;
}
