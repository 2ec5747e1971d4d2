//! A plugin as a child process: `qat-plugin`, or one of the examples.

use std::fs;
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

/// A running plugin; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: watch::Receiver<String>,
    reader: JoinHandle<()>,
}

impl Daemon {
    /// Starts `qat-plugin` on the node below `root` with more arguments, and an environment that
    /// holds nothing but `env`.
    ///
    /// # Errors
    ///
    /// When the binary is missing, stale or cannot be started.
    pub fn start(root: &Path, args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let roots = [
            ("--sysfs-root", "sys"),
            ("--dev-root", "dev"),
            ("--kubelet-dir", "kubelet/device-plugins"),
            ("--cdi-dir", "cdi"),
        ];
        let roots = roots.iter().filter(|(flag, _)| {
            let given = args.iter().any(|arg| arg.starts_with(flag));
            !given
        });
        let roots: Vec<String> = roots
            .map(|(flag, path)| format!("{flag}={}", root.join(path).display()))
            .collect();
        let args: Vec<&str> = args
            .iter()
            .copied()
            .chain(roots.iter().map(String::as_str))
            .collect();
        Self::run("qat-plugin", &args, env)
    }

    /// Starts a binary of this workspace with these arguments, and an environment that holds nothing
    /// but `env`.
    ///
    /// # Errors
    ///
    /// When the binary is missing, stale or cannot be started.
    pub fn run(name: &str, args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut command = Command::new(binary(name)?);
        command.env_clear().envs(env.iter().copied()).args(args);
        Self::spawn(name, command)
    }

    /// Starts a command that becomes a plugin of this name.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(name: &str, mut command: Command) -> anyhow::Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
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
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            reader,
        })
    }

    /// The process id.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child
            .id()
            .with_context(|| format!("{} has ended", self.name))
    }

    /// Its resident memory, in KiB.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn memory(&self) -> anyhow::Result<u64> {
        self.proc("status", "VmRSS:")
    }

    /// How often it has read from a file or a socket so far.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn reads(&self) -> anyhow::Result<u64> {
        self.proc("io", "syscr:")
    }

    /// How many seconds its first thread has been on a processor so far. The daemon has one that works.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.pid()?))?;
        let nanoseconds = text.split_ascii_whitespace().next();
        let nanoseconds: f64 = nanoseconds.context("an empty schedstat")?.parse()?;
        Ok(nanoseconds / 1e9)
    }

    /// A number that `/proc` has of it.
    fn proc(&self, file: &str, name: &str) -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.pid()?))?;
        let mut lines = text.lines();
        let number =
            lines.find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next());
        let number = number.with_context(|| format!("no {name} in {file}"))?;
        Ok(number.parse()?)
    }

    /// What was read of its log so far. What it has just logged may not be in it: wait for that with [`logged`](Self::logged).
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
                "{} did not end within {deadline:?}; the log:\n{}",
                self.name,
                self.log()
            )
        };
        self.reader.await.context("the log reader failed")?;
        let log = self.log.borrow().clone();
        Ok((status?, log))
    }
}
