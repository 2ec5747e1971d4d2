//! `qat-inspect verify`: whether the plugin applied a configuration file, and whether the kubelet advertises its resources.
//!
//! It compares the file with what the plugin reports in `state.json`, and the pools there with what the kubelet answers on its pod
//! resources socket. It reads neither sysfs nor the API server, so a pod with two read-only mounts can run it: the chart's `helm test`
//! does.

mod judge;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Error};
use device_plugin::pods::PodResources;
use qat_node::Roots;
use qat_node::config::ConfigText;
use qat_node::memory::{Clock, Memory};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use self::judge::{Check, Observed, Outcome, checks};
use crate::args::Verify;

/// Interval between checks while waiting.
const INTERVAL: Duration = Duration::from_millis(500);

/// The version of the file that must be in force.
struct Expected {
    path: PathBuf,
    sha256: String,
}

/// Checks until everything is verified or can no longer be, and prints a line for each check.
///
/// # Errors
///
/// The file cannot be read, or standard output cannot be written.
pub(crate) fn run(args: &Verify) -> anyhow::Result<ExitCode> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime that asks the kubelet")?;
    runtime.block_on(verify(args))
}

async fn verify(args: &Verify) -> anyhow::Result<ExitCode> {
    let roots = args.kubelet.resolve(Roots::default());
    let state_dir = args.kubelet.state_dir(&roots);
    let deadline = Instant::now() + args.wait.unwrap_or_default();
    let mut reported = Vec::new();
    loop {
        // Read each time: a newer version of the file may arrive while waiting.
        let expected = args.config.as_deref().map(expected).transpose()?;
        let observed = observe(&roots, &state_dir).await;
        let checks = checks(expected.as_ref(), &observed);
        let is = |outcome| checks.iter().any(|check| check.outcome == outcome);
        if is(Outcome::Failed) || !is(Outcome::Pending) || Instant::now() >= deadline {
            return conclude(&checks);
        }
        let pending = checks.iter().filter(|one| one.outcome == Outcome::Pending);
        let pending: Vec<String> = pending.map(|check| line("waiting", check)).collect();
        for line in pending.iter().filter(|line| !reported.contains(*line)) {
            print(line)?;
        }
        reported = pending;
        sleep(INTERVAL).await;
    }
}

fn expected(file: &Path) -> anyhow::Result<Expected> {
    let text = ConfigText::read(file)?;
    Ok(Expected {
        path: file.to_owned(),
        sha256: text.sha256(),
    })
}

/// What the plugin and the kubelet of this node report now.
async fn observe(roots: &Roots, state_dir: &Path) -> Observed {
    let state = Memory::read(state_dir).map_err(|error| format!("{:#}", Error::from(error)));
    let kubelet = PodResources::new(&roots.pod_resources);
    let allocatable = kubelet.allocatable().await;
    Observed {
        state: state.map(|state| state.filter(Memory::is_of_this_boot)),
        state_dir: state_dir.to_owned(),
        allocatable: allocatable.map_err(|error| error.to_string()),
        allocated: roots.pods().view().await,
        now: Clock::now().unix(Instant::now()),
    }
}

/// Prints every check. What is still pending has failed.
fn conclude(checks: &[Check]) -> anyhow::Result<ExitCode> {
    let mut failed = 0;
    for check in checks {
        let word = match check.outcome {
            Outcome::Passed => "ok",
            Outcome::Pending | Outcome::Failed => {
                failed += 1;
                "FAILED"
            }
        };
        print(&line(word, check))?;
    }
    let count = checks.len();
    if failed == 0 {
        print(&format!("{count} checks passed"))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("{failed} of {count} checks failed"))?;
    Ok(ExitCode::FAILURE)
}

fn line(word: &str, check: &Check) -> String {
    let Check { subject, text, .. } = check;
    format!("{word:7} {subject}: {}", text.replace('\n', "\n        "))
}

fn print(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write to standard output")
}
