//! The QAT device plugin: parse, wire, run.
#![forbid(unsafe_code)]

mod args;
mod compat;
mod daemon;
mod provision;
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
        Ok(code) => code,
        Err(error) => {
            eprintln!("qat-plugin: {error:#}");
            let misconfigured = error.is::<SettingsError>() || error.is::<TelemetryError>();
            ExitCode::from(if misconfigured { 2 } else { 1 })
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let typed = compat::translate(env::args_os());
    let args = Line::parse_from(typed.line);
    match &args.command {
        Some(Command::Worker) => return worker::run(&args.places).map(|()| ExitCode::SUCCESS),
        Some(Command::Provision(command)) => {
            let roots = settings::roots(&args.places)?;
            return provision::run(command, &args.places, &roots);
        }
        None => {}
    }
    let variable = |name: &str| Some(env::var_os(name)?.to_string_lossy().into_owned());
    let mut settings = settings::resolve(args, &variable)?;
    settings.warnings.extend(typed.ignored.warning());
    daemon::run(settings).map(|()| ExitCode::SUCCESS)
}
