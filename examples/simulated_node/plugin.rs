//! `qat-plugin` as a child process whose log the demo tells.

use std::process::{Command as StdCommand, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use node_sim::SimNode;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::build::Binaries;
use crate::say::lines;

/// A line that was logged before the demo asks for it is in the pipe by then, or almost.
const SETTLE: Duration = Duration::from_millis(50);

/// A running `qat-plugin`; killed when dropped.
pub(crate) struct Plugin {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Plugin {
    /// Starts it on the node, with a short time between looks so that the demo is quick.
    pub(crate) fn start(binaries: &Binaries, node: &SimNode) -> anyhow::Result<Self> {
        let mut child = Command::new(&binaries.plugin)
            .arg(format!("--sysfs-root={}", node.sysfs().display()))
            .arg(format!("--dev-root={}", node.dev().display()))
            .arg(format!("--kubelet-dir={}", node.kubelet_dir().display()))
            .arg("--rescan-interval=100ms")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start qat-plugin")?;
        let log = BufReader::new(child.stderr.take().context("stderr is piped")?).lines();
        Ok(Self { child, log })
    }

    /// Prints what it has logged since the last time, without the time of day.
    pub(crate) async fn print_log(&mut self) {
        while let Ok(Ok(Some(line))) = timeout(SETTLE, self.log.next_line()).await {
            lines(&format!("qat-plugin: {}", without_time(&line)));
        }
    }

    /// Ends it as Kubernetes does.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("qat-plugin has ended")?;
        StdCommand::new("kill").arg(pid.to_string()).status()?;
        let status = self.child.wait().await?;
        self.print_log().await;
        ensure!(status.success(), "qat-plugin ended with {status}");
        Ok(())
    }
}

fn without_time(line: &str) -> &str {
    line.split_once('Z')
        .map_or(line, |(_, rest)| rest)
        .trim_start()
}
