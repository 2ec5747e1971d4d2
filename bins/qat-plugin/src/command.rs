//! From the command line to what is done.

use std::env;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Command, ConfigCommand, Line};
use crate::{compat, config, daemon, extended_resource, leave, provision, say, settings, worker};

/// Does what the command line asks for.
///
/// # Errors
///
/// What keeps it from being done.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let typed = compat::translate(env::args_os());
    let args = Line::parse_from(typed.line);
    let variable = |name: &str| Some(env::var_os(name)?.to_string_lossy().into_owned());
    let read = || settings::resolve(&args, &variable);
    match &args.command {
        Some(Command::Worker) => return worker::run(&args.places).map(|()| ExitCode::SUCCESS),
        Some(Command::Provision(command)) => {
            let roots = settings::roots(&args.places)?;
            return provision::run(command, &args.places, &roots);
        }
        Some(Command::Config(command)) => {
            return say::text(&match &command.what {
                ConfigCommand::Check { file } => config::check(file)?,
                ConfigCommand::Show => config::show(&read()?),
            });
        }
        Some(Command::ExtendedResource(command)) => {
            return say::text(&extended_resource::text(command)?);
        }
        Some(Command::Leave(command)) => {
            let roots = settings::roots(&args.places)?;
            return leave::run(command, &args.places, &roots);
        }
        None => {}
    }
    let mut settings = read()?;
    settings.warnings.extend(typed.ignored.warning());
    daemon::run(settings, &read).map(|()| ExitCode::SUCCESS)
}
