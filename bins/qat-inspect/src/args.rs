//! What can be typed.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use qat_node::Roots;
use qat_node::config::{parse_time, read_config};
use qat_node::consumers::CONSUMERS;
use qat_node::contract::Contract;
use qat_node::pools::PoolConfig;
use qat_policy::{Family, ResourceNames, Rules, VfDrivers};
use sysfs_pci::{PciAddress, SysfsRoot};
use vfio_host::PROC;

use crate::answer::Output;
use crate::column::Column;

/// Says what a QAT node has, and what is wrong with it.
///
/// Reads the machine, changes nothing, and needs neither a cluster nor a running plugin; what a plugin that runs has
/// written down is used.
#[derive(Debug, Parser)]
#[command(
    name = "qat-inspect",
    version,
    after_help = "Exit codes: 0 said what there is or found nothing wrong, 1 `check` found something, \
                  2 could not look."
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
    /// Say everything about one function, and who shares its IOMMU group
    Show(Show),
    /// Show NUMA nodes, PFs, VFs, groups and the pods that hold them as a tree
    Tree(Question),
    /// List IOMMU groups of QAT functions with all members, and whether VFIO can have them
    Groups(Named),
    /// List resources: how many VFs are offered, told and healthy; and why the rest is not
    Pools(Question),
    /// List which pod holds which VF, as the kubelet says
    Pods(Question),
    /// Say what is wrong and what to do: PFs in trouble, VFs that are not offered and why, the machine, the kubelet, the
    /// plugin
    Check(Check),
    /// Verify that the plugin of this node applied a configuration file, and that the kubelet advertises its resources
    #[command(after_help = "Exit codes: 0 verified, 1 not verified, 2 the file cannot be read.")]
    Verify(Verify),
    /// Say what a finding means, why it matters and what to do; without one, list them all
    Explain(Explain),
    /// Print changes as they happen; on a terminal, an updating view
    Watch(Watch),
    /// Write what there is to see of this machine into a file, for `--from`
    Snapshot(Snapshot),
    /// Print what to apply so that a workload gets VFs of this machine
    Manifest(Manifest),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// How to list.
#[derive(Debug, Parser)]
pub(crate) struct List {
    /// Only this PF and its VFs
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) pf: Option<PciAddress>,

    /// Only VFs that are offered as this, for example `qat.intel.com/cy` or `cy`
    #[arg(long, value_name = "RESOURCE")]
    pub(crate) resource: Option<String>,

    /// Only VFs that are not offered
    #[arg(long, conflicts_with = "resource")]
    pub(crate) withheld: bool,

    /// Columns of the tables, in this order; a column that PFs or VFs do not have is left out there [default: those that are printed
    /// without]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub(crate) columns: Option<Vec<Column>>,

    #[command(flatten)]
    pub(crate) output: Output,

    #[command(flatten)]
    pub(crate) view: View,
}

/// What to show.
#[derive(Debug, Parser)]
pub(crate) struct Show {
    /// The function, for example 0000:6b:00.1
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: PciAddress,

    #[command(flatten)]
    pub(crate) named: Named,
}

/// A question in whose answer functions have names.
#[derive(Debug, Parser)]
pub(crate) struct Named {
    /// List of PCI ids with names [default: that of the distribution, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) pci_ids: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) question: Question,
}

/// A question with an answer in several forms.
#[derive(Debug, Parser)]
pub(crate) struct Question {
    #[command(flatten)]
    pub(crate) output: Output,

    #[command(flatten)]
    pub(crate) view: View,
}

/// How to check.
#[derive(Debug, Parser)]
pub(crate) struct Check {
    /// A resource: say only what consumers make of it, for example `qat.intel.com/cy` or `cy`
    #[arg(value_name = "RESOURCE")]
    pub(crate) resource: Option<String>,

    /// Only these consumers of VFs: kubevirt, kubevirt-iommufd, kata-go, kata-go-cold, kata-rs,
    /// kata-rs-cold, dpdk, qatlib, numbered [default: all]
    #[arg(long = "for", value_name = "CONSUMER", value_delimiter = ',', value_parser = consumer)]
    pub(crate) consumers: Vec<Contract>,

    /// Look for no kubelet and ask none: none runs here, or no pod holds a VF
    #[arg(long)]
    pub(crate) no_kubelet: bool,

    #[command(flatten)]
    pub(crate) output: Output,

    #[cfg(feature = "probe")]
    #[command(flatten)]
    pub(crate) vfio: Vfio,

    #[command(flatten)]
    pub(crate) view: View,
}

/// What to verify.
#[derive(Debug, Parser)]
pub(crate) struct Verify {
    /// Configuration file that the plugin must have applied, in this very version [default: any version]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Time to wait until everything is verified, for example 90s or 2m [default: do not wait]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) wait: Option<Duration>,

    #[command(flatten)]
    pub(crate) kubelet: KubeletArgs,
}

/// What to explain.
#[derive(Debug, Parser)]
pub(crate) struct Explain {
    /// A finding by code or number, for example `not-bound` or `QAT012`
    #[arg(value_name = "FINDING")]
    pub(crate) finding: Option<String>,
}

/// How to watch.
#[derive(Debug, Parser)]
pub(crate) struct Watch {
    /// End after so many changes
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroUsize>,

    #[command(flatten)]
    pub(crate) view: View,
}

/// Where a snapshot goes.
#[derive(Debug, Parser)]
pub(crate) struct Snapshot {
    /// The file. It is text (JSON)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) view: View,
}

/// Who is to use VFs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// Virtual machines of KubeVirt: what its own object needs, and a `VirtualMachineInstance`
    Kubevirt,
    /// Pods of Kata Containers: lines of its configuration, a `RuntimeClass` and a pod
    Kata,
    /// A pod with DPDK or qatlib
    Dpdk,
}

/// What to print a manifest for.
#[derive(Debug, Parser)]
pub(crate) struct Manifest {
    /// Who is to use VFs
    #[arg(value_enum)]
    pub(crate) runtime: Runtime,

    /// Only this resource, for example `qat.intel.com/cy` or `cy` [default: all that are offered]
    #[arg(value_name = "RESOURCE")]
    pub(crate) resource: Option<String>,

    #[command(flatten)]
    pub(crate) view: View,
}

/// Whether and how to ask VFIO itself.
#[cfg(feature = "probe")]
#[derive(Debug, Parser)]
pub(crate) struct Vfio {
    /// Ask VFIO itself as well, through its device nodes, and compare. Of groups only those are asked
    /// whose VFs are not open and not held by a pod: while one is asked nobody else can open it
    #[arg(long)]
    pub(crate) probe: bool,
}

/// What is looked at, and with the eyes of which plugin.
#[derive(Debug, Parser)]
pub(crate) struct View {
    /// Spelling of resource names, as given to qat-plugin [default: canonical, or as in the file of --config]
    #[arg(long, value_enum, value_name = "SPELLING")]
    pub(crate) resource_names: Option<Spelling>,

    /// Families that the plugin offers, as given to qat-plugin: kernel VF drivers, comma-separated
    /// [default: every family]
    #[arg(long, value_name = "LIST", value_parser = qat_policy::parse_kernel_vf_drivers)]
    pub(crate) kernel_vf_drivers: Option<BTreeSet<Family>>,

    /// Driver that VFs must be bound to, as given to qat-plugin: vfio-pci or `igb_uio` [default: vfio-pci, or as in the file of
    /// --config]
    #[arg(long, value_name = "DRIVER")]
    pub(crate) dpdk_driver: Option<VfDrivers>,

    /// The most VFs that the plugin offers, as given to qat-plugin [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) max_num_devices: Option<NonZeroUsize>,

    /// Configuration file of the plugin: what is offered, and how the VFs of each pool reach containers
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Name of the node, for what the configuration file says of some nodes
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub(crate) node_name: Option<String>,

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
    /// Look at the machine in this file, which `snapshot` has written, and not at this one
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,

    /// Where the host's /sys is mounted
    #[arg(long = "sysfs-root", value_name = "DIR", default_value = "/sys")]
    pub(crate) sysfs: PathBuf,

    /// Where the host's /dev is mounted
    #[arg(long = "dev-root", value_name = "DIR", default_value = "/dev")]
    pub(crate) dev: PathBuf,

    /// Where the plugin writes CDI files, as given to qat-plugin
    #[arg(long = "cdi-dir", value_name = "DIR", default_value = "/var/run/cdi")]
    pub(crate) cdi: PathBuf,

    /// Where the host's debugfs is mounted [default: kernel/debug under the sysfs root]
    #[arg(long = "debugfs-root", value_name = "DIR")]
    pub(crate) debugfs: Option<PathBuf>,

    /// Where the host's /proc is mounted; processes and the kernel's command line are read there
    #[arg(long = "proc-root", value_name = "DIR", default_value = PROC)]
    pub(crate) proc: PathBuf,

    /// Where the host keeps firmware files; where there are none, as in a container, nothing is said of them
    #[arg(long, value_name = "DIR", default_value = "/lib/firmware")]
    pub(crate) firmware_dir: PathBuf,

    #[command(flatten)]
    pub(crate) kubelet: KubeletArgs,
}

/// Where the kubelet and the plugin are.
#[derive(Debug, Parser)]
pub(crate) struct KubeletArgs {
    /// The kubelet's device-plugins directory [default: /var/lib/kubelet/device-plugins]
    #[arg(long, value_name = "DIR")]
    pub(crate) kubelet_dir: Option<PathBuf>,

    /// The kubelet's pod-resources socket, which says what pods hold [default: pod-resources/kubelet.sock beside the kubelet
    /// dir]
    #[arg(long, value_name = "PATH")]
    pub(crate) pod_resources_socket: Option<PathBuf>,

    /// Where the plugin keeps `state.json`, which says what only it knows, as given to qat-plugin [default: qat-plugin in the
    /// kubelet dir]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

impl View {
    /// The rules and pools of a plugin that was started with the same flags and file on this machine.
    pub(crate) fn rules(&self, sysfs: &SysfsRoot) -> anyhow::Result<(Rules, PoolConfig)> {
        let (offer, pools) = match &self.config {
            None => Default::default(),
            Some(file) => {
                let config = read_config(file)?;
                let on = config.on_this_machine(self.node_name.clone(), sysfs);
                let pools = on.pools();
                let pools = pools.with_context(|| format!("`{}`", file.display()))?;
                (on.offer, pools)
            }
        };
        let usual = Rules::default();
        let typed = self.resource_names.map(|spelling| match spelling {
            Spelling::Canonical => ResourceNames::Canonical,
            Spelling::AsRead => ResourceNames::AsRead,
        });
        let families = self.kernel_vf_drivers.clone().or(offer.families);
        let drivers = self.dpdk_driver.clone().or(offer.driver);
        let rules = Rules {
            families: families.unwrap_or(usual.families),
            names: pools.names(typed.or(offer.resource_names).unwrap_or_default()),
            drivers: drivers.unwrap_or(usual.drivers),
            cap: self.max_num_devices.or(offer.max_devices),
        };
        Ok((rules, pools))
    }
}

/// A consumer by its code.
fn consumer(code: &str) -> Result<Contract, String> {
    let found = CONSUMERS.into_iter().find(|contract| contract.code == code);
    found.ok_or_else(|| {
        let codes = CONSUMERS.map(|contract| contract.code);
        format!("there are {}", codes.join(", "))
    })
}

impl RootArgs {
    /// The roots that were typed.
    pub(crate) fn resolve(&self) -> Roots {
        let mut roots = Roots::new(&self.sysfs, &self.dev).with_cdi(&self.cdi);
        if let Some(debugfs) = &self.debugfs {
            roots = roots.with_debugfs(debugfs);
        }
        self.kubelet.resolve(roots)
    }
}

impl KubeletArgs {
    /// The roots with what was typed.
    pub(crate) fn resolve(&self, mut roots: Roots) -> Roots {
        if let Some(kubelet) = &self.kubelet_dir {
            roots = roots.with_kubelet(kubelet);
        }
        if let Some(socket) = &self.pod_resources_socket {
            roots = roots.with_pod_resources(socket);
        }
        roots
    }

    /// Where the plugin keeps its state.
    pub(crate) fn state_dir(&self, roots: &Roots) -> PathBuf {
        let usual = || roots.state_dir();
        self.state_dir.clone().unwrap_or_else(usual)
    }
}
