//! The QAT device plugin: parse, wire, run.
#![forbid(unsafe_code)]

mod args;
mod command;
mod compat;
mod config;
mod daemon;
mod extended_resource;
mod leave;
mod provision;
mod reload;
mod say;
mod settings;
mod value;
mod worker;

use std::process::ExitCode;

use plugin_admin::TelemetryError;

use crate::settings::SettingsError;

#[expect(
    clippy::print_stderr,
    reason = "the log may not be set up when this is said"
)]
fn main() -> ExitCode {
    match command::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("qat-plugin: {error:#}");
            let misconfigured = error.is::<SettingsError>() || error.is::<TelemetryError>();
            ExitCode::from(if misconfigured { 2 } else { 1 })
        }
    }
}
