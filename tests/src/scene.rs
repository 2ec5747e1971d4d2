//! A node, a kubelet and the daemon.

use std::time::Duration;

use anyhow::ensure;
use node_sim::{Kubelet, Machine, SimNode};
use tempfile::TempDir;

use crate::Daemon;

/// How long anything that must happen may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A simulated node with a kubelet on it.
#[derive(Debug)]
pub struct Scene {
    /// The trees.
    pub node: SimNode,
    /// The kubelet.
    pub kubelet: Kubelet,
    /// Removed when the scene ends.
    _dir: TempDir,
}

impl Scene {
    /// Writes the machine and starts a kubelet.
    ///
    /// # Errors
    ///
    /// When the trees cannot be written or the kubelet cannot listen.
    pub async fn new(machine: Machine) -> anyhow::Result<Self> {
        let dir = node_sim::scratch()?;
        let node = machine.write(dir.path())?;
        let kubelet = Kubelet::start(&node.kubelet_dir()).await?;
        Ok(Self {
            node,
            kubelet,
            _dir: dir,
        })
    }

    /// Ends a story: stops the daemon as Kubernetes does, and checks what holds for every story. It
    /// must exit with 0, and the kubelet must have had nothing to complain about.
    ///
    /// Returns the log.
    ///
    /// # Errors
    ///
    /// When one of that is not so; with the log or the transcript.
    pub async fn end(&self, daemon: Daemon) -> anyhow::Result<String> {
        let (status, log) = daemon.terminate(DEADLINE).await?;
        ensure!(
            status.success(),
            "the plugin ended with {status}; the log:\n{log}"
        );
        let transcript = self.kubelet.transcript();
        let complaints = transcript.warnings().count();
        ensure!(
            complaints == 0,
            "the kubelet has {complaints} complaints:\n{transcript}"
        );
        Ok(log)
    }

    /// Starts the daemon with a short time between looks, so that changes show soon. It binds nothing
    /// unless `args` say so: the trees alone take no commands.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn daemon(&self, args: &[&str]) -> anyhow::Result<Daemon> {
        let mut all = vec!["--rescan-interval=100ms", "--manage-binding=false"];
        all.extend(args);
        Daemon::start(self.node.root(), &all, &[])
    }
}
