//! What was typed after the smaller commands.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What is to be done with a configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) what: ConfigCommand,
}

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Says whether a file can be used: all of it, on every node that it names, before a node has it
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Prints what holds and where each value is from: flags (before `config`), environment, file or default
    Show,
}

/// What was typed after `leave`.
#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    /// Show what would be removed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// First bring services, VFs and drivers back to what they were before the first change since the node was booted, as
    /// `provision --undo` does
    #[arg(long)]
    pub(crate) undo: bool,
}

/// What to print.
#[derive(Debug, Args)]
pub(crate) struct ExtendedResourceArgs {
    /// What is to become of it
    #[arg(value_enum)]
    pub(crate) action: Action,

    /// The resource, for example qat.intel.com/cy or cy
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// How many there are to be; for `add`
    #[arg(value_name = "COUNT")]
    pub(crate) count: Option<u32>,

    /// The node
    #[arg(long, value_name = "NAME")]
    pub(crate) node: String,
}

/// What becomes of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// It is added, or has another number
    Add,
    /// It is removed
    Remove,
}
