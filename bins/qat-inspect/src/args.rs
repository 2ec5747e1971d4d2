//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use qat_node::Roots;
use qat_policy::{Family, ResourceNames, Rules};

/// Says what a QAT node has, and what is wrong with it.
///
/// Reads the machine, changes nothing, and needs no running plugin.
#[derive(Debug, Parser)]
#[command(
    name = "qat-inspect",
    version,
    after_help = "Exit codes: 0 said what there is, 2 could not look."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The questions that can be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List PFs and VFs: driver, IOMMU group, NUMA node, services, and the resource that each VF is
    /// offered as, or why it is not
    List(List),
}

/// How to list.
#[derive(Debug, Parser)]
pub(crate) struct List {
    /// Print JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,

    /// Spelling of resource names, as given to qat-plugin
    #[arg(long, value_enum, default_value_t = Spelling::Canonical, value_name = "SPELLING")]
    pub(crate) resource_names: Spelling,

    #[command(flatten)]
    pub(crate) roots: RootArgs,
}

/// Spellings of resource names.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Spelling {
    /// One name per service set
    Canonical,
    /// In the order in which the kernel lists the services
    AsRead,
}

/// Where the machine is.
#[derive(Debug, Parser)]
pub(crate) struct RootArgs {
    /// Where the host's /sys is mounted
    #[arg(long = "sysfs-root", value_name = "DIR", default_value = "/sys")]
    pub(crate) sysfs: PathBuf,

    /// Where the host's /dev is mounted
    #[arg(long = "dev-root", value_name = "DIR", default_value = "/dev")]
    pub(crate) dev: PathBuf,

    /// Where the host's debugfs is mounted [default: kernel/debug under the sysfs root]
    #[arg(long = "debugfs-root", value_name = "DIR")]
    pub(crate) debugfs: Option<PathBuf>,
}

impl List {
    /// The rules of a plugin with every family on and no cap.
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            families: Family::all().iter().copied().collect(),
            names: match self.resource_names {
                Spelling::Canonical => ResourceNames::Canonical,
                Spelling::AsRead => ResourceNames::AsRead,
            },
            drivers: qat_policy::vfio_drivers(),
            cap: None,
        }
    }
}

impl RootArgs {
    /// The roots that were typed.
    pub(crate) fn resolve(&self) -> Roots {
        let roots = Roots::new(&self.sysfs, &self.dev);
        match &self.debugfs {
            Some(debugfs) => roots.with_debugfs(debugfs),
            None => roots,
        }
    }
}
