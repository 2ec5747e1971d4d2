//! What was typed after `provision`.
#![expect(
    clippy::doc_markdown,
    reason = "clap prints these comments as they are, and backticks look odd on a terminal"
)]

use std::path::PathBuf;

use clap::Args;
use qat_policy::ServiceSet;
use qat_policy::provision::{DriverGoal, VfsGoal};
use sysfs_pci::PciAddress;

/// What was typed after `provision`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(crate) struct ProvisionArgs {
    /// Show what would be done, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Write a line of JSON for each event, and one for the summary
    #[arg(long)]
    pub(crate) json: bool,

    /// Go back to what was there before the first change since the node was booted
    #[arg(long, conflicts_with_all = ["services", "auto_reset", "vfs", "driver"])]
    pub(crate) undo: bool,

    /// Only this PF (may be repeated) [default: every QAT PF]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) pf: Vec<PciAddress>,

    /// Do not ask the kubelet: no pod of this node holds a VF
    #[arg(long)]
    pub(crate) no_kubelet: bool,

    /// End with 5 where there was nothing to do, rather than with 0
    #[arg(long)]
    pub(crate) detailed_exit_code: bool,

    /// Configuration file (YAML) with rules for PFs, families and nodes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["services", "auto_reset", "vfs", "driver", "undo"])]
    pub(crate) config: Option<PathBuf>,

    /// Name of this node, for rules that name nodes
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub(crate) node_name: Option<String>,

    /// Directory with the files of Intel's init container, qat.conf and qat-NODE.conf; used if it is
    /// there and nothing else says what is wanted
    #[arg(long, value_name = "DIR", default_value = "/qat-init/conf")]
    pub(crate) init_conf: PathBuf,

    /// PF ids that Intel's init container takes care of
    #[arg(long, value_name = "IDS", env = "ENABLED_QAT_PF_PCIIDS", hide = true)]
    pub(crate) pf_ids: Option<String>,

    /// Services of PFs that can choose them, such as sym;asym or dc [default: as they are]
    #[arg(long, value_name = "SET")]
    pub(crate) services: Option<ServiceSet>,

    /// Whether PFs that can reset themselves after a fatal error do so [default: as it is]
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub(crate) auto_reset: Option<bool>,

    /// Which VFs each PF is to have: all, none or keep [default: all]
    #[arg(long, value_name = "WHICH", value_parser = vfs)]
    pub(crate) vfs: Option<VfsGoal>,

    /// What VFs are bound to: vfio-pci, qat_vfio_pci or keep [default: vfio-pci]
    #[arg(long, value_name = "DRIVER", value_parser = driver)]
    pub(crate) driver: Option<DriverGoal>,
}

fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err("it is on or off".to_owned()),
    }
}

fn vfs(text: &str) -> Result<VfsGoal, String> {
    match text {
        "all" => Ok(VfsGoal::All),
        "none" => Ok(VfsGoal::None),
        "keep" => Ok(VfsGoal::Keep),
        _ => Err("a QAT driver makes all VFs or none: it is all, none or keep".to_owned()),
    }
}

fn driver(text: &str) -> Result<DriverGoal, String> {
    if text == "keep" {
        return Ok(DriverGoal::Keep);
    }
    text.parse()
        .map(DriverGoal::To)
        .map_err(|error| format!("{error}, keep"))
}
