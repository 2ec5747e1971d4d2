//! The simulated kubelet as a [`Node`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use node_sim::{AdmissionError, Kubelet, KubeletOptions, Pod, PodSpec, Restart};
use tempfile::TempDir;

use super::node::{Node, Outcome};

/// The reason of a container that cannot be started, as `StartError` documents it.
const CONFIG_ERROR: &str = "CreateContainerConfigError";

/// A simulated kubelet in a directory of its own.
#[derive(Debug)]
pub(super) struct SimulatedNode {
    kubelet: Kubelet,
    pod_resources: PathBuf,
    pods: BTreeMap<String, Pod>,
    _root: TempDir,
}

impl SimulatedNode {
    pub(super) async fn new(options: KubeletOptions) -> Result<Self> {
        let root = tempfile::tempdir()?;
        let kubelet = Kubelet::start_with(root.path().join("device-plugins"), options).await?;
        Ok(Self {
            pod_resources: kubelet.pod_resources_socket().context("no pod-resources")?,
            kubelet,
            pods: BTreeMap::new(),
            _root: root,
        })
    }

    fn pod(&self, pod: &str) -> Result<&Pod> {
        self.pods.get(pod).with_context(|| format!("no pod {pod}"))
    }
}

impl Node for SimulatedNode {
    fn device_plugins(&self) -> &Path {
        self.kubelet.dir()
    }

    fn pod_resources(&self) -> &Path {
        &self.pod_resources
    }

    fn suffix(&self) -> String {
        String::new()
    }

    async fn create(&mut self, name: &str, requests: &[(String, usize)]) -> Result<Outcome> {
        let spec = PodSpec::new(name);
        let spec = requests.iter().fold(spec, |spec, (resource, count)| {
            spec.request(resource, *count)
        });
        let pod = match self.kubelet.admit(spec).await {
            Ok(pod) => pod,
            Err(error) => return Ok(failed(&error)),
        };
        let outcome = match &pod.started {
            Ok(()) => Outcome::Running,
            Err(error) => Outcome::Waiting(CONFIG_ERROR.to_owned(), error.to_string()),
        };
        self.pods.insert(name.to_owned(), pod);
        Ok(outcome)
    }

    async fn started(&mut self, pod: &str) -> Result<Outcome> {
        let pod = self.pod(pod)?.clone();
        Ok(match self.kubelet.restart_container(&pod).await {
            Ok(()) => Outcome::Running,
            Err(error) => Outcome::Waiting(CONFIG_ERROR.to_owned(), error.to_string()),
        })
    }

    async fn identity(&mut self, pod: &str) -> Result<(String, String)> {
        let pod = self.pod(pod)?;
        Ok((pod.name.clone(), pod.uid.clone()))
    }

    async fn delete(&mut self, pod: &str) -> Result<()> {
        if let Some(pod) = self.pods.remove(pod) {
            self.kubelet.delete(&pod);
        }
        Ok(())
    }

    async fn restart(&mut self) -> Result<()> {
        let restarted = self.kubelet.restart(Restart::WipeSockets, Duration::ZERO);
        Ok(restarted.await?)
    }
}

fn failed(error: &AdmissionError) -> Outcome {
    Outcome::Failed("UnexpectedAdmissionError".to_owned(), error.to_string())
}
