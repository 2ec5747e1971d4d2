//! A real kubelet as a [`Node`]: static pods come from a directory, their state from its API.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::node::{Node, Outcome};

/// How long a pod may take to come, to be retried or to go.
const POD_TIMEOUT: Duration = Duration::from_mins(2);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Where a running kubelet is.
#[derive(Clone, Debug)]
pub struct RealKubelet {
    /// The device plugin directory, `/var/lib/kubelet/device-plugins`.
    pub device_plugins: PathBuf,
    /// The pod-resources socket, `/var/lib/kubelet/pod-resources/kubelet.sock`.
    pub pod_resources: PathBuf,
    /// The static pod directory, `staticPodPath` of its configuration.
    pub manifests: PathBuf,
    /// Its own API, `https://127.0.0.1:10250`, which must answer without authentication.
    pub url: String,
    /// An image that the node has, with a shell.
    pub image: String,
    /// A shell command that stops the kubelet and starts it again, and ends when it listens.
    pub restart: String,
}

impl RealKubelet {
    /// Asks the kubelet for its version, as in `v1.37.2`.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub async fn version(&self) -> Result<String> {
        let metrics = self.get("metrics").await?;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("kubernetes_build_info"));
        let version = line
            .and_then(|line| line.split("git_version=\"").nth(1))
            .and_then(|rest| rest.split('"').next());
        Ok(version.context("the metrics tell no version")?.to_owned())
    }

    async fn get(&self, path: &str) -> Result<String> {
        let url = format!("{}/{path}", self.url);
        // The certificate is the kubelet's own, and the address is this machine's.
        let output = Command::new("curl")
            .args(["-sS", "--fail", "--insecure", "--max-time", "10", &url])
            .output()
            .await
            .context("cannot run curl, install it")?;
        ensure!(
            output.status.success(),
            "cannot read {url}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// A real kubelet, during one recording.
#[derive(Debug)]
pub(super) struct RealNode {
    kubelet: RealKubelet,
    /// The number of this recording. The UID of a static pod comes from its manifest, and the
    /// kubelet remembers resources: no two recordings may have either in common.
    run: u32,
    manifests: Vec<PathBuf>,
}

impl Drop for RealNode {
    fn drop(&mut self) {
        for manifest in &self.manifests {
            // Most are gone already.
            drop(fs::remove_file(manifest));
        }
    }
}

impl RealNode {
    pub(super) fn new(kubelet: RealKubelet) -> Self {
        Self {
            kubelet,
            run: process::id(),
            manifests: Vec::new(),
        }
    }

    fn name(&self, pod: &str) -> String {
        format!("{pod}{}", self.suffix())
    }

    fn manifest(&self, pod: &str) -> PathBuf {
        let name = format!("{}.json", self.name(pod));
        self.kubelet.manifests.join(name)
    }

    /// A pod as the kubelet has it.
    async fn pod(&self, pod: &str) -> Result<Option<Value>> {
        let list: Value = serde_json::from_str(&self.kubelet.get("pods").await?)?;
        let prefix = format!("{}-", self.name(pod));
        let pods = list["items"].as_array().into_iter().flatten();
        let is_it = |item: &&Value| {
            let name = item["metadata"]["name"].as_str();
            name.is_some_and(|name| name.starts_with(&prefix))
        };
        Ok(pods.into_iter().find(is_it).cloned())
    }

    /// Polls until `find` returns something.
    async fn wait<T>(&self, pod: &str, find: impl Fn(Option<&Value>) -> Option<T>) -> Result<T> {
        let end = Instant::now() + POD_TIMEOUT;
        loop {
            // The kubelet may be restarting.
            let found = self.pod(pod).await;
            if let Some(value) = found.as_ref().ok().and_then(|item| find(item.as_ref())) {
                return Ok(value);
            }
            if Instant::now() >= end {
                bail!("pod {pod} is still not as expected: {:#?}", found?);
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

impl Node for RealNode {
    fn device_plugins(&self) -> &Path {
        &self.kubelet.device_plugins
    }

    fn pod_resources(&self) -> &Path {
        &self.kubelet.pod_resources
    }

    fn suffix(&self) -> String {
        format!("-r{}", self.run)
    }

    async fn create(&mut self, pod: &str, requests: &[(String, usize)]) -> Result<Outcome> {
        let limits: serde_json::Map<String, Value> = requests
            .iter()
            .map(|(resource, count)| (resource.clone(), json!(count.to_string())))
            .collect();
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name(pod), "namespace": "default"},
            "spec": {
                "hostNetwork": true,
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "main",
                    "image": self.kubelet.image,
                    "imagePullPolicy": "Never",
                    "command": ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"],
                    "resources": {"limits": limits},
                }],
            },
        });
        let path = self.manifest(pod);
        // The kubelet does not read files that begin with a dot.
        let draft = path.with_file_name(format!(".{}.json", self.name(pod)));
        fs::write(&draft, manifest.to_string())?;
        self.manifests.push(path.clone());
        fs::rename(&draft, &path)?;
        self.wait(pod, outcome).await
    }

    async fn started(&mut self, pod: &str) -> Result<Outcome> {
        let is_running =
            |item: Option<&Value>| outcome(item).filter(|outcome| *outcome == Outcome::Running);
        self.wait(pod, is_running).await
    }

    async fn identity(&mut self, pod: &str) -> Result<(String, String)> {
        let item = self.pod(pod).await?.context("the pod is gone")?;
        let text = |field: &str| {
            let value = item["metadata"][field].as_str();
            value
                .map(ToOwned::to_owned)
                .with_context(|| format!("the pod has no {field}"))
        };
        Ok((text("name")?, text("uid")?))
    }

    async fn delete(&mut self, pod: &str) -> Result<()> {
        fs::remove_file(self.manifest(pod))?;
        self.wait(pod, |item| item.is_none().then_some(())).await
    }

    async fn restart(&mut self) -> Result<()> {
        let status = Command::new("sh")
            .args(["-c", &self.kubelet.restart])
            .stdout(Stdio::null())
            .status()
            .await?;
        ensure!(status.success(), "`{}` failed", self.kubelet.restart);
        Ok(())
    }
}

/// What has become of a pod, once that is known.
fn outcome(item: Option<&Value>) -> Option<Outcome> {
    let status = &item?["status"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if status["phase"] == "Failed" {
        return Some(Outcome::Failed(
            text(&status["reason"]),
            text(&status["message"]),
        ));
    }
    let state = &status["containerStatuses"][0]["state"];
    if state["running"].is_object() {
        return Some(Outcome::Running);
    }
    let (reason, message) = (
        text(&state["waiting"]["reason"]),
        text(&state["waiting"]["message"]),
    );
    let is_on_its_way =
        reason.is_empty() || reason == "ContainerCreating" || reason == "PodInitializing";
    (!is_on_its_way).then_some(Outcome::Waiting(reason, message))
}
