//! The simulated kubelet against a tiny plugin: each behaviour once.
#![expect(clippy::unwrap_used, reason = "test helpers fail the test")]

mod answers;
mod checkpoint;
mod connections;
mod lifecycle;
mod plugin;
mod pod_resources;
mod pods;
mod registering;
mod starting;
mod tap;

use std::{path::Path, time::Duration};

use kubelet_api::deviceplugin::v1beta1::Device;
use node_sim::{Kubelet, KubeletOptions, ResourceView};
use plugin::{Answers, Plugin, register};
use tempfile::TempDir;

const NIC: &str = "example.com/nic";
const LIMIT: Duration = Duration::from_secs(20);

/// A kubelet in a directory of its own.
struct Node {
    kubelet: Kubelet,
    /// The kubelet's root.
    root: TempDir,
}

impl Node {
    async fn new() -> Self {
        Self::with(KubeletOptions::new()).await
    }

    async fn with(options: KubeletOptions) -> Self {
        let root = node_sim::scratch().unwrap();
        let dir = root.path().join("device-plugins");
        let kubelet = Kubelet::start_with(dir, options).await.unwrap();
        Self { kubelet, root }
    }

    /// The device plugin directory.
    fn dir(&self) -> &Path {
        self.kubelet.dir()
    }

    /// A plugin for `NIC`, registered, with its first list received.
    async fn nic(&self, ids: &[&str], answers: Answers) -> Plugin {
        let devices = ids.iter().map(|id| plugin::healthy(id)).collect();
        self.plugin("nic.sock", NIC, devices, answers).await
    }

    async fn plugin(
        &self,
        socket: &str,
        resource: &str,
        devices: Vec<Device>,
        answers: Answers,
    ) -> Plugin {
        let plugin = Plugin::serve(self.dir(), socket, devices, answers);
        let before = self
            .kubelet
            .resource(resource)
            .map_or(0, |view| view.lists_received);
        register(self.dir(), socket, resource).await.unwrap();
        let listed = |view: &ResourceView| view.streaming && view.lists_received > before;
        self.kubelet
            .wait_for(resource, listed, LIMIT)
            .await
            .unwrap();
        plugin
    }

    fn warnings(&self) -> Vec<String> {
        self.kubelet
            .transcript()
            .warnings()
            .map(ToOwned::to_owned)
            .collect()
    }
}
