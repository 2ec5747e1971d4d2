//! The pods of the node, and what they hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem, process,
    sync::atomic::{AtomicU64, Ordering},
};

use kubelet_api::deviceplugin::v1beta1::ContainerAllocateResponse;
use prost::Message;

use super::{
    checkpoint::CheckpointEntry,
    merge::ContainerAnswer,
    pod::{Pod, PodSpec},
};

/// All pods, by the order in which they came, and the entries of the checkpoint.
#[derive(Default, Debug)]
pub(super) struct Ledger {
    pods: BTreeMap<u64, Record>,
    /// What containers hold. This part survives a restart of the kubelet, through the file.
    entries: Vec<CheckpointEntry>,
    /// UIDs of pods that are over. The file may still name them.
    gone: BTreeSet<String>,
}

/// One pod.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) container: String,
    /// All containers have ended, and the pod object still exists.
    pub(super) completed: bool,
    /// Devices that are chosen. Their plugin may not have been asked yet.
    reserved: BTreeMap<String, BTreeSet<String>>,
}

impl Ledger {
    /// A new pod without devices.
    pub(super) fn open(&mut self, number: u64, spec: &PodSpec) -> Record {
        let or = |given: &Option<String>, other: &str| given.as_deref().unwrap_or(other).to_owned();
        let record = Record {
            uid: new_uid(),
            name: or(&spec.name, &format!("pod-{number}")),
            namespace: or(&spec.namespace, "default"),
            container: or(&spec.container, "main"),
            completed: false,
            reserved: BTreeMap::new(),
        };
        self.pods.insert(number, record.clone());
        record
    }

    /// Sets devices aside for a pod.
    pub(super) fn reserve(&mut self, number: u64, resource: &str, ids: &[String]) {
        if let Some(pod) = self.pods.get_mut(&number) {
            let ids = ids.iter().cloned().collect();
            pod.reserved.insert(resource.to_owned(), ids);
        }
    }

    /// A plugin has answered: the devices belong to the container.
    pub(super) fn grant(&mut self, entry: CheckpointEntry) {
        self.entries.push(entry);
    }

    /// Deletes a pod. Returns whether there was one.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        self.release(number);
        self.pods.remove(&number).is_some()
    }

    /// All containers of a pod have ended. Returns whether there was such a pod.
    pub(super) fn complete(&mut self, number: u64) -> bool {
        self.release(number);
        let Some(pod) = self.pods.get_mut(&number) else {
            return false;
        };
        !mem::replace(&mut pod.completed, true)
    }

    fn release(&mut self, number: u64) {
        if let Some(pod) = self.pods.get_mut(&number) {
            pod.reserved.clear();
            self.entries.retain(|entry| entry.pod_uid != pod.uid);
            self.gone.insert(pod.uid.clone());
        }
    }

    /// The kubelet begins anew, with what its checkpoint says. `next` gives numbers to pods
    /// that are not known.
    pub(super) fn begin(&mut self, entries: Vec<CheckpointEntry>, mut next: impl FnMut() -> u64) {
        for pod in self.pods.values_mut() {
            pod.reserved.clear();
        }
        self.entries = entries;
        self.entries
            .retain(|entry| !self.gone.contains(&entry.pod_uid));
        for entry in &self.entries {
            let known = self.pods.values().any(|pod| pod.uid == entry.pod_uid);
            if !known {
                let stranger = Record {
                    uid: entry.pod_uid.clone(),
                    name: entry.pod_uid.clone(),
                    namespace: "default".to_owned(),
                    container: entry.container.clone(),
                    completed: false,
                    reserved: BTreeMap::new(),
                };
                self.pods.insert(next(), stranger);
            }
        }
    }

    /// The devices of `resource` that are not free.
    pub(super) fn assigned(&self, resource: &str) -> BTreeSet<String> {
        let reserved = self
            .pods
            .values()
            .filter_map(|pod| pod.reserved.get(resource))
            .flatten()
            .cloned();
        let held = self
            .entries
            .iter()
            .filter(|entry| entry.resource == resource)
            .flat_map(|entry| entry.devices.values().flatten().cloned());
        reserved.chain(held).collect()
    }

    pub(super) fn entries(&self) -> &[CheckpointEntry] {
        &self.entries
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.pods.values()
    }

    /// What a pod holds.
    pub(super) fn holdings<'a>(
        &'a self,
        pod: &'a Record,
    ) -> impl Iterator<Item = &'a CheckpointEntry> {
        self.entries.iter().filter(|entry| entry.pod_uid == pod.uid)
    }

    /// The pods as callers see them.
    pub(super) fn pods(&self) -> Vec<Pod> {
        let pods = self.pods.iter();
        pods.map(|(&number, record)| self.pod(number, record))
            .collect()
    }

    fn pod(&self, number: u64, record: &Record) -> Pod {
        let mut pod = Pod::new(number, record);
        for entry in self.holdings(record) {
            let decoded = ContainerAllocateResponse::decode(entry.answer.as_slice());
            let answer = ContainerAnswer::from(decoded.unwrap_or_default());
            let conflicts = pod.answer.merge(&entry.resource, answer.clone());
            pod.conflicts.extend(conflicts);
            pod.answers.insert(entry.resource.clone(), answer);
            pod.devices.insert(entry.resource.clone(), entry.ids());
        }
        pod
    }
}

/// A UID in the form of Kubernetes that no other pod has, on this machine.
fn new_uid() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    format!("{:08x}-0000-4000-8000-{number:012x}", process::id())
}
