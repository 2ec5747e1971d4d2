//! From a pod that asks to a pod that runs.

use std::sync::Arc;

use prost::Message;

use super::{
    calls,
    choice::Choice,
    ledger::Record,
    merge::ContainerAnswer,
    pod::{AdmissionError, Pod, PodSpec},
    shared::Shared,
    start,
    state::State,
    transcript::EventKind,
};

/// Admits a pod, then starts its container once. Only admissions wait for each other.
pub(super) async fn admit(shared: &Arc<Shared>, spec: PodSpec) -> Result<Pod, AdmissionError> {
    let one_at_a_time = shared.admission.lock().await;
    let mut admission = Admission::new(shared, &spec);
    let mut pod = admission.run(&spec).await?;
    drop(one_at_a_time);
    pod.started = start::container(shared, &pod).await;
    admission.phase = Phase::Done;
    Ok(pod)
}

/// A pod that its caller does not have yet. If it is dropped, its devices are free again.
struct Admission {
    shared: Arc<Shared>,
    number: u64,
    record: Record,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Admitted,
    Done,
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.phase == Phase::Done {
            return;
        }
        self.shared.with(|state| {
            state.pods.remove(self.number);
            if self.phase == Phase::Admitted {
                let pod = self.record.name.clone();
                state.record(EventKind::Deleted { pod });
            }
        });
    }
}

impl Admission {
    fn new(shared: &Arc<Shared>, spec: &PodSpec) -> Self {
        let (number, record) = shared.with(|state| {
            let number = state.number();
            (number, state.pods.open(number, spec))
        });
        Self {
            shared: Arc::clone(shared),
            number,
            record,
            phase: Phase::Open,
        }
    }

    async fn run(&mut self, spec: &PodSpec) -> Result<Pod, AdmissionError> {
        let result = self.allocate_all(spec).await;
        if result.is_ok() {
            self.phase = Phase::Admitted;
        }
        self.shared.with(|state| {
            let pod = self.record.name.clone();
            match &result {
                Ok(_) => state.record(EventKind::Admitted { pod }),
                Err(error) => {
                    state.pods.remove(self.number);
                    let message = error.to_string();
                    state.record(EventKind::Rejected { pod, message });
                }
            }
        });
        result
    }

    /// One `Allocate` for each resource, in random order, and one answer for the container.
    async fn allocate_all(&self, spec: &PodSpec) -> Result<Pod, AdmissionError> {
        let mut requests: Vec<_> = spec.requests.iter().collect();
        self.shared
            .look(|state| state.random.shuffle(&mut requests));
        let mut pod = Pod::new(self.number, &self.record);
        for (resource, &count) in requests {
            let ids = self.choose(spec, resource, count).await?;
            if ids.is_empty() {
                continue;
            }
            let name = &self.record.name;
            let response = calls::allocate(&self.shared, name, resource, &ids).await?;
            let bytes = response.encode_to_vec();
            let answer = ContainerAnswer::from(response);
            let conflicts = pod.answer.merge(resource, answer.clone());
            self.shared.with(|state| {
                state.grant(&self.record, resource, &ids, bytes);
                for conflict in conflicts.iter().cloned() {
                    let pod = name.clone();
                    state.record(EventKind::Conflict { pod, conflict });
                }
            });
            pod.conflicts.extend(conflicts);
            pod.answers.insert(resource.clone(), answer);
            pod.devices.insert(resource.clone(), ids);
        }
        if !pod.devices.is_empty() {
            self.shared
                .with(State::save)
                .map_err(|error| AdmissionError::Checkpoint {
                    message: error.to_string(),
                })?;
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
            state.pods.reserve(self.number, resource, &ids);
        });
        Ok(ids)
    }
}
