//! The command `config`: looks at a configuration file without a machine.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use qat_node::config::read_config;

/// What is to be done with a file.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

/// What can be done with a file.
#[derive(Debug, Subcommand)]
enum What {
    /// Says whether the file can be used: all of it, before a node has it
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// What there is to say of a file that can be used.
///
/// # Errors
///
/// What is wrong with it, with line and column where there are some.
pub(crate) fn text(args: &ConfigArgs) -> anyhow::Result<String> {
    let What::Check { file } = &args.what;
    let config = read_config(file)?;
    let place = || format!("`{}`", file.display());
    config.pools().with_context(place)?;
    let (rules, health, calm) = (config.rules().len(), config.health(), config.calm());
    let heartbeat = if health.heartbeat {
        "checked"
    } else {
        "not checked"
    };
    Ok(format!(
        "{}: fine\n  provisioning: {rules} rules\n  health: heartbeats are {heartbeat}, every {:?} at most; a sick PF is well after {} \
         good checks; a VF that fell {} times within {:?} is kept back\n",
        place(),
        health.check_interval,
        health.good_checks,
        calm.falls,
        calm.quiet,
    ))
}
