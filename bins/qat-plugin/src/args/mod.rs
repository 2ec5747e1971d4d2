//! What was typed; [`crate::settings`] says what it means.
#![expect(
    clippy::doc_markdown,
    reason = "clap prints these comments as they are, and backticks look odd on a terminal"
)]

mod provision;
mod small;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::provision::ProvisionArgs;
pub(crate) use self::small::{Action, ConfigArgs, ConfigCommand, ExtendedResourceArgs, LeaveArgs};

/// Offers the Intel QuickAssist (QAT) virtual functions of this node to Kubernetes.
///
/// Finds the QAT VFs that are bound to vfio-pci (or igb_uio), registers a resource per service set
/// (qat.intel.com/cy, qat.intel.com/dc, …) with the kubelet, and hands each pod exactly its VFs.
/// Flags of Intel's Go plugin are accepted as they stand in today's manifests, single dash and all.
#[derive(Debug, Parser)]
#[command(
    name = "qat-plugin",
    version,
    after_help = "Exit codes: 0 stopped by a signal, 1 failed, 2 the configuration is wrong.",
    disable_help_subcommand = true,
    // As in Go the last one counts: overlays of manifests append their own.
    args_override_self = true
)]
pub(crate) struct Line {
    /// Driver that VFs must be bound to: vfio-pci (qat_vfio_pci counts as well), or igb_uio, where no
    /// IOMMU protects the host from who holds a VF [env: DPDK_DRIVER] [default: vfio-pci]
    #[arg(long, value_name = "DRIVER", allow_hyphen_values = true)]
    pub(crate) dpdk_driver: Option<String>,

    /// QAT VF families to offer, by the name of their kernel VF driver, comma-separated, for
    /// example 4xxxvf,420xxvf [env: KERNEL_VF_DRIVERS] [default: every family]
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub(crate) kernel_vf_drivers: Option<String>,

    /// Offer at most this many VFs, in address order [env: MAX_NUM_DEVICES] [default: all]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_num_devices: Option<String>,

    /// Which free VFs a pod gets: none (lowest addresses), packed (fill a PF first) or balanced
    /// (spread over PFs) [default: none]
    #[arg(long, value_name = "POLICY", allow_hyphen_values = true)]
    pub(crate) allocation_policy: Option<String>,

    /// How much to log: 0-1 info, 2-3 debug, 4 and more trace [env: VERBOSITY] [default: 1]
    #[arg(short = 'v', long = "v", value_name = "N", allow_hyphen_values = true)]
    pub(crate) verbosity: Option<String>,

    /// Spelling of resource names: canonical (one name per service set) or as-read (the order in
    /// which the kernel lists the services, as the Go plugin spells them)
    #[arg(long, value_name = "SPELLING", allow_hyphen_values = true)]
    pub(crate) resource_names: Option<String>,

    /// Look at the machine at least so often, for example 30s or 500ms [default: 5m where the
    /// kernel's events arrive, else 30s; 5s while something waits]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) rescan_interval: Option<String>,

    /// Format of the log on standard error: text or json [default: text]
    #[arg(long, value_name = "FORMAT", allow_hyphen_values = true)]
    pub(crate) log_format: Option<String>,

    /// Bind VFs that are not bound, and keep them so: true or false [default: true, unless /sys is
    /// read-only]
    #[arg(long, value_name = "BOOL", allow_hyphen_values = true, num_args = 0..=1,
          default_missing_value = "true", require_equals = true)]
    pub(crate) manage_binding: Option<String>,

    /// Answer /metrics, /healthz and /readyz at this address, for example 127.0.0.1:9746 [default: nowhere]
    #[arg(long, value_name = "ADDRESS", allow_hyphen_values = true)]
    pub(crate) admin: Option<String>,

    /// Configuration file (YAML): how the VFs of each pool reach containers
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) places: Places,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Where the machine and the kubelet are.
#[derive(Debug, Args)]
pub(crate) struct Places {
    /// Where the host's /sys is mounted [default: /sys]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) sysfs_root: Option<PathBuf>,

    /// Where the host's /dev is mounted [default: /dev]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) dev_root: Option<PathBuf>,

    /// Where the host's debugfs is mounted [default: kernel/debug under the sysfs root]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) debugfs_root: Option<PathBuf>,

    /// The kubelet's device-plugins directory [default: /var/lib/kubelet/device-plugins]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) kubelet_dir: Option<PathBuf>,

    /// The kubelet's pod-resources socket, which says what pods hold; where it is not mounted the
    /// kubelet's checkpoint stands in [default: pod-resources/kubelet.sock beside the kubelet dir]
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) pod_resources_socket: Option<PathBuf>,

    /// Where CDI files are written, for pools that have them [default: /var/run/cdi]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) cdi_dir: Option<PathBuf>,

    /// File with labels for the local source of Node Feature Discovery, kept as the node is: families, VFs, VFs of each resource
    /// [default: none]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) nfd_file: Option<PathBuf>,

    /// Where records of changes and locks are kept [default: qat-plugin in the kubelet dir]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state_dir: Option<PathBuf>,
}

/// What else the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes the VFs of this node's QAT PFs, with the services that are wanted, and binds them
    ///
    /// Prints what changes, does it step by step, records what was there before, and undoes what fails.
    /// VFs that a pod holds or a process has open are never disturbed. It can be run again at any time.
    #[command(
        after_help = "Exit codes: 0 done or nothing to do, 1 failed, 2 the arguments are wrong, \
        3 some PFs or VFs are not as they should be, 4 refused and nothing changed, 5 nothing to do (with \
        --detailed-exit-code)."
    )]
    Provision(ProvisionArgs),
    /// Looks at a configuration file
    Config(ConfigArgs),
    /// Prints the patch that adds a resource to a node by hand, or removes one that is left at 0; changes nothing
    ExtendedResource(ExtendedResourceArgs),
    /// Removes what a plugin that has ended has left on this node: sockets, CDI files, its state
    ///
    /// For a node that no plugin comes back to: one that starts anew, or a container that does, has use for these files.
    Leave(LeaveArgs),
    /// Gives commands that may block to the kernel, for another process of this program
    #[command(hide = true)]
    Worker,
}
