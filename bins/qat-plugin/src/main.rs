//! The QAT device plugin: parse, wire, run.
#![forbid(unsafe_code)]

mod args;
mod compat;
mod daemon;
mod settings;
mod value;
mod worker;

use std::env;
use std::process::ExitCode;

use clap::Parser as _;
use plugin_admin::TelemetryError;

use crate::args::{Command, Line};
use crate::settings::SettingsError;

#[expect(
    clippy::print_stderr,
    reason = "the log may not be set up when this is said"
)]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qat-plugin: {error:#}");
            let misconfigured = error.is::<SettingsError>() || error.is::<TelemetryError>();
            ExitCode::from(if misconfigured { 2 } else { 1 })
        }
    }
}

fn run() -> anyhow::Result<()> {
    let typed = compat::translate(env::args_os());
    let args = Line::parse_from(typed.line);
    if let Some(Command::Worker) = args.command {
        return worker::run(&args.places);
    }
    let variable = |name: &str| Some(env::var_os(name)?.to_string_lossy().into_owned());
    let mut settings = settings::resolve(args, &variable)?;
    settings.warnings.extend(typed.ignored.warning());
    daemon::run(settings)
}
