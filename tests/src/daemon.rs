//! `qat-plugin` as a child process.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::binary;

/// A running `qat-plugin`; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: watch::Receiver<String>,
    reader: JoinHandle<()>,
}

impl Daemon {
    /// Starts the daemon on the node below `root` with more arguments, and an environment that
    /// holds nothing but `env`.
    ///
    /// # Errors
    ///
    /// When the binary is missing, stale or cannot be started.
    pub fn start(root: &Path, args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut command = Command::new(binary("qat-plugin")?);
        command
            .env_clear()
            .envs(env.iter().copied())
            .args(args)
            .arg(format!("--sysfs-root={}", root.join("sys").display()))
            .arg(format!("--dev-root={}", root.join("dev").display()))
            .arg(format!(
                "--kubelet-dir={}",
                root.join("kubelet/device-plugins").display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("cannot start qat-plugin")?;
        let stderr = child.stderr.take().context("stderr is piped")?;
        let (writer, log) = watch::channel(String::new());
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                writer.send_modify(|log| {
                    log.push_str(&line);
                    log.push('\n');
                });
            }
        });
        Ok(Self { child, log, reader })
    }

    /// The process id.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("qat-plugin has ended")
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Waits until the log contains `text`.
    ///
    /// # Errors
    ///
    /// As for [`until`](Self::until).
    pub async fn logged(&self, text: &str, deadline: Duration) -> anyhow::Result<()> {
        self.until(text, |log| log.contains(text), deadline).await
    }

    /// Waits until the log fits. `what` is for the error.
    ///
    /// # Errors
    ///
    /// When it does not within `deadline`; with the log so far.
    pub async fn until(
        &self,
        what: &str,
        mut fits: impl FnMut(&str) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<()> {
        let mut log = self.log.clone();
        let found = timeout(deadline, log.wait_for(|log| fits(log))).await;
        if matches!(found, Ok(Ok(_))) {
            return Ok(());
        }
        bail!(
            "`{what}` is not in the log after {deadline:?}; the log:\n{}",
            self.log()
        )
    }

    /// Asks it to stop with SIGTERM and waits for the end.
    ///
    /// # Errors
    ///
    /// When it has not ended within `deadline`.
    pub async fn terminate(self, deadline: Duration) -> anyhow::Result<(ExitStatus, String)> {
        let pid = i32::try_from(self.pid()?)
            .ok()
            .and_then(Pid::from_raw)
            .context("a pid")?;
        kill_process(pid, Signal::TERM).context("cannot send SIGTERM")?;
        self.ended(deadline).await
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    ///
    /// When it has not ended within `deadline`.
    pub async fn ended(mut self, deadline: Duration) -> anyhow::Result<(ExitStatus, String)> {
        let Ok(status) = timeout(deadline, self.child.wait()).await else {
            bail!(
                "qat-plugin did not end within {deadline:?}; the log:\n{}",
                self.log()
            )
        };
        self.reader.await.context("the log reader failed")?;
        let log = self.log.borrow().clone();
        Ok((status?, log))
    }
}
