//! From a pod that asks to a pod that runs.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    calls,
    choice::Choice,
    merge::ContainerAnswer,
    pod::{AdmissionError, Pod, PodSpec},
    shared::Shared,
    state::State,
    transcript::EventKind,
};

/// An admission on its way. If it is dropped unfinished, the pod's devices are free again.
pub(super) struct Admission {
    shared: Arc<Shared>,
    uid: u64,
    name: String,
    done: bool,
}

impl Drop for Admission {
    fn drop(&mut self) {
        if !self.done {
            self.shared.with(|state| state.pods.remove(&self.uid));
        }
    }
}

impl Admission {
    pub(super) fn new(shared: &Arc<Shared>, name: Option<String>) -> Self {
        let uid = shared.with(State::new_pod);
        Self {
            shared: Arc::clone(shared),
            uid,
            name: name.unwrap_or_else(|| format!("pod-{uid}")),
            done: false,
        }
    }

    /// Admits the pod and starts its container once.
    pub(super) async fn run(mut self, spec: PodSpec) -> Result<Pod, AdmissionError> {
        let result = match self.allocate_all(&spec).await {
            Ok(pod) => calls::start_container(&self.shared, &pod)
                .await
                .map(|()| pod),
            Err(error) => Err(error),
        };
        self.done = result.is_ok();
        self.shared.with(|state| {
            if !self.done {
                state.pods.remove(&self.uid);
            }
            let pod = self.name.clone();
            state.record(match &result {
                Ok(_) => EventKind::Admitted { pod },
                Err(error) => EventKind::Rejected {
                    pod,
                    message: error.to_string(),
                },
            });
        });
        result
    }

    /// One `Allocate` for each resource, in random order, and one answer for the container.
    async fn allocate_all(&self, spec: &PodSpec) -> Result<Pod, AdmissionError> {
        let mut requests: Vec<_> = spec.requests.iter().collect();
        self.shared
            .look(|state| state.random.shuffle(&mut requests));
        let mut pod = Pod {
            uid: self.uid,
            name: self.name.clone(),
            devices: BTreeMap::new(),
            answers: BTreeMap::new(),
            answer: ContainerAnswer::default(),
            conflicts: Vec::new(),
        };
        for (resource, &count) in requests {
            let ids = self.choose(spec, resource, count).await?;
            if ids.is_empty() {
                continue;
            }
            let answer = calls::allocate(&self.shared, &self.name, resource, &ids).await?;
            let conflicts = pod.answer.merge(resource, answer.clone());
            self.shared.with(|state| {
                for conflict in conflicts.iter().cloned() {
                    let pod = self.name.clone();
                    state.record(EventKind::Conflict { pod, conflict });
                }
            });
            pod.conflicts.extend(conflicts);
            pod.answers.insert(resource.clone(), answer);
            pod.devices.insert(resource.clone(), ids);
        }
        Ok(pod)
    }

    /// Picks devices, asks the plugin where there is a choice, and assigns them to the pod.
    async fn choose(
        &self,
        spec: &PodSpec,
        resource: &str,
        count: usize,
    ) -> Result<Vec<String>, AdmissionError> {
        let choice = |state: &mut State| Choice::new(state, resource, count, &spec.affinity);
        let mut choice = self.shared.with(choice)?;
        if choice.has_spare_aligned() {
            let aligned = choice.aligned.clone();
            let preferred = calls::prefer(&self.shared, resource, &aligned, &[], count).await?;
            choice.take(&preferred, &aligned);
            choice.take(&aligned, &aligned);
        } else {
            let aligned = choice.aligned.clone();
            choice.take(&aligned, &aligned);
            if !choice.is_done() {
                let rest = choice.rest.clone();
                let must_include = choice.taken.clone();
                let available: Vec<_> = aligned.into_iter().chain(rest.clone()).collect();
                let preferred =
                    calls::prefer(&self.shared, resource, &available, &must_include, count).await?;
                choice.take(&preferred, &rest);
                choice.take(&rest, &rest);
            }
        }
        let mut ids = choice.taken;
        self.shared.with(|state| {
            state.random.shuffle(&mut ids);
            if let Some(pod) = state.pods.get_mut(&self.uid) {
                pod.devices
                    .insert(resource.to_owned(), ids.iter().cloned().collect());
            }
        });
        Ok(ids)
    }
}
