//! The QAT device plugin: parse, wire, run.
#![forbid(unsafe_code)]

mod args;
mod compat;
mod settings;
mod value;

use std::env;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::settings::{Settings, SettingsError};

#[expect(
    clippy::print_stderr,
    reason = "the log may not be set up when this is said"
)]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qat-plugin: {error:#}");
            ExitCode::from(if error.is::<SettingsError>() { 2 } else { 1 })
        }
    }
}

fn run() -> anyhow::Result<()> {
    let typed = compat::translate(env::args_os());
    let args = args::Args::parse_from(typed.argv);
    let Settings {
        node,
        verbosity,
        log_format,
        mut warnings,
    } = settings::resolve(args, &|name| {
        Some(env::var_os(name)?.to_string_lossy().into_owned())
    })?;
    plugin_admin::init(log_format, verbosity).context("cannot set up the log")?;
    if !typed.ignored.is_empty() {
        warnings.push(format!(
            "klog flags without a meaning here: {}",
            typed.ignored.join(" ")
        ));
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
        let node = qat_node::run(node, stop.clone());
        tokio::pin!(node);
        tokio::select! {
            ended = &mut node => return ended.map_err(Into::into),
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
        stop.cancel();
        node.await.map_err(Into::into)
    })
}
