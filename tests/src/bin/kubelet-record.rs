//! Records what a running kubelet does with a device plugin, or compares it with a recording.
//!
//! Exit code 0: recorded, or no difference. 1: the kubelet differs from the recording. 2: it could not be recorded.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for the terminal"
)]

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use tests::session::{self, RealKubelet, Recording};

/// Records what a running kubelet does with a device plugin.
#[derive(Parser, Debug)]
struct Arguments {
    /// The kubelet's device plugin directory.
    #[arg(long, default_value = "/var/lib/kubelet/device-plugins")]
    device_plugins: PathBuf,
    /// The kubelet's pod-resources socket.
    #[arg(long, default_value = "/var/lib/kubelet/pod-resources/kubelet.sock")]
    pod_resources: PathBuf,
    /// The kubelet's static pod directory.
    #[arg(long)]
    manifests: PathBuf,
    /// The kubelet's API, which must answer without authentication.
    #[arg(long, default_value = "https://127.0.0.1:10250")]
    url: String,
    /// An image with a shell that the node has already.
    #[arg(long, default_value = "localhost/busybox:1")]
    image: String,
    /// A shell command that stops the kubelet, starts it again and returns when it listens.
    #[arg(long)]
    restart: String,
    /// The date of the recording, as in `2026-11-28`.
    #[arg(long, default_value = "unknown")]
    date: String,
    /// Compares with this recording and prints the differences, instead of the recording.
    #[arg(long)]
    compare: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns whether there is no difference.
async fn run(arguments: Arguments) -> Result<bool> {
    // First, because the recording takes a minute or two.
    let committed = arguments.compare.as_ref().map(|path| {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read `{}`", path.display()))?;
        Recording::parse(&text)
    });
    let committed = committed.transpose()?;
    let kubelet = RealKubelet {
        device_plugins: arguments.device_plugins,
        pod_resources: arguments.pod_resources,
        manifests: arguments.manifests,
        url: arguments.url,
        image: arguments.image,
        restart: arguments.restart,
    };
    let progress = |scenario: &str| eprintln!("{scenario}");
    let recording = session::record(kubelet, arguments.date, progress).await?;
    let Some(committed) = committed else {
        print!("{recording}");
        return Ok(true);
    };
    let differences = committed.compare(&recording)?;
    for difference in &differences {
        println!("{difference}");
    }
    println!(
        "kubelet {}: {} differences from the recording of {}",
        recording.kubelet,
        differences.len(),
        committed.kubelet
    );
    Ok(differences.is_empty())
}
