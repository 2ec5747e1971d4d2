//! What can be wrong with an answer.

use std::path::PathBuf;

use device_plugin::ResourceName;
use sysfs_pci::PciAddress;
use thiserror::Error;

use crate::VfioInterface;

/// What is not as a contract says. The text is a part of a sentence for people.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Problem {
    /// A variable that is read is not set.
    #[error("it reads `{name}`, which is not set")]
    NoVariable {
        /// The variable.
        name: String,
    },
    /// A variable does not hold what was allocated, each address in full, in order, with commas.
    #[error("`{name}` is `{found}`, and it should be `{expected}`")]
    Value {
        /// The variable.
        name: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// A variable is set that must not be.
    #[error("`{name}` is set, for which it would take a second device for the same request")]
    Forbidden {
        /// The variable.
        name: String,
    },
    /// A shell cannot read the variable, and there is none that it can.
    #[error("a shell cannot read `{name}`, for its dash, and there is no variable without")]
    Unreadable {
        /// The variable.
        name: String,
    },
    /// A shell cannot read the variable, but another.
    #[error("scripts read `{readable}`, as a shell cannot read `{name}`, for its dash")]
    OtherName {
        /// The variable that a shell cannot read.
        name: String,
        /// The one that it can.
        readable: String,
    },
    /// What is known of each function in JSON is not what was allocated.
    #[error("`{name}` does not speak of `{address}` as `deviceID`, in full")]
    Info {
        /// The variable.
        name: String,
        /// The function.
        address: PciAddress,
    },
    /// The operator chose no numbered variables.
    #[error("the resource has no numbered variables (`numberedPrefix: none`)")]
    Unnumbered,
    /// The domain of an address is more than a consumer takes.
    #[error("it takes only {takes}, and {address} is in another")]
    Domain {
        /// The function.
        address: PciAddress,
        /// What it takes.
        takes: &'static str,
    },
    /// A node is not in the answer.
    #[error("`{}` is not in the container", path.display())]
    NoNode {
        /// The path in the container.
        path: PathBuf,
    },
    /// A node cannot be both read and written.
    #[error("`{}` comes with the permissions `{permissions}`, and it opens it to read and to write", path.display())]
    Permissions {
        /// The path in the container.
        path: PathBuf,
        /// The permissions.
        permissions: String,
    },
    /// The operator chose an interface that leaves out what is needed.
    #[error("it needs {needs}, and the resource has `vfio: {interface}`")]
    Interface {
        /// What is needed.
        needs: &'static str,
        /// What was chosen.
        interface: VfioInterface,
    },
    /// Functions lack a character device of their own.
    #[error(
        "{count} of {all} functions come without a node in `/dev/vfio/devices`: the kernel makes none \
         (CONFIG_VFIO_DEVICE_CDEV, Linux 6.6), or the host's /dev is not all there; the group's node stands in"
    )]
    NoCdev {
        /// How many.
        count: usize,
        /// Of how many.
        all: usize,
    },
    /// A function would be plugged once for each of its nodes.
    #[error(
        "{functions} functions come with {nodes} nodes of VFIO, and it takes each node for a device, so that one would be \
         plugged twice; choose `vfio: group` or `vfio: cdev`"
    )]
    Twice {
        /// How many functions were allocated.
        functions: usize,
        /// How many nodes below `/dev/vfio` came with them, the control node aside.
        nodes: usize,
    },
    /// A group's node brings functions that were not allocated.
    #[error(
        "it takes the whole IOMMU group of {address} for the device, and {} is in it too",
        listed(others)
    )]
    Companions {
        /// The function that was allocated.
        address: PciAddress,
        /// The others.
        others: Vec<PciAddress>,
    },
    /// A node is in the answer that does harm.
    #[error("`{}` is in the container, {harm}", path.display())]
    Harmful {
        /// The path in the container.
        path: PathBuf,
        /// What it does.
        harm: &'static str,
    },
    /// Only root may open a node.
    #[error(
        "it runs as root, or the runtime gives it `{}` (in CRI `device_ownership_from_security_context`, or `cdi: field` with \
         `owner`): on the host only root may open that", path.display()
    )]
    RootOnly {
        /// The path on the host.
        path: PathBuf,
    },
    /// The function is driven through UIO.
    #[error("`{}` is a node of UIO, and no virtual machine can take such a function; bind it to vfio-pci", path.display())]
    Uio {
        /// The path in the container.
        path: PathBuf,
    },
    /// The operator chose to have no CDI file.
    #[error("it looks devices up in CDI, and the resource has `cdi: off`")]
    CdiOff,
    /// The resource can have no CDI file, whatever is chosen.
    #[error(
        "it looks devices up in CDI under the resource's name, and `{resource}` is no kind there: a part of it starts with a digit"
    )]
    NoKind {
        /// The resource.
        resource: ResourceName,
    },
    /// The file cannot be had.
    #[error("the resource's CDI file cannot be used: {why}")]
    CdiFile {
        /// Why.
        why: String,
    },
    /// The file describes something else.
    #[error("the CDI file is of kind `{found}`, and it looks for `{expected}`")]
    CdiKind {
        /// The kind in the file.
        found: String,
        /// The resource.
        expected: ResourceName,
    },
    /// A function is not in the file.
    #[error("the CDI file has no device `{address}`, so the sandbox would not start")]
    NoCdiDevice {
        /// The function.
        address: PciAddress,
    },
    /// A device of the file does not have exactly one node of VFIO.
    #[error("CDI device `{address}` has the nodes [{}], and it plugs each of them; exactly one of VFIO is right", nodes.join(", "))]
    CdiNodes {
        /// The function.
        address: PciAddress,
        /// Its nodes.
        nodes: Vec<String>,
    },
    /// The file gives another node for a function than the answer.
    #[error(
        "CDI device `{address}` has `{node}`, which the answer has not, so that it would be plugged twice"
    )]
    CdiOther {
        /// The function.
        address: PciAddress,
        /// The node in the file.
        node: String,
    },
}

/// How much a problem weighs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Weight {
    /// The consumer works under this condition.
    Condition,
    /// The operator chose it so.
    Choice,
    /// The consumer does not work.
    Fault,
}

impl Problem {
    /// How much it weighs.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        match self {
            Self::OtherName { .. } | Self::RootOnly { .. } => Weight::Condition,
            Self::Unnumbered | Self::Interface { .. } | Self::CdiOff | Self::Uio { .. } => {
                Weight::Choice
            }
            _ => Weight::Fault,
        }
    }

    /// A stable short code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoVariable { .. } => "no-variable",
            Self::Value { .. } => "variable-value",
            Self::Forbidden { .. } => "variable-forbidden",
            Self::Unreadable { .. } => "variable-unreadable",
            Self::OtherName { .. } => "variable-other-name",
            Self::Info { .. } => "variable-info",
            Self::Unnumbered => "unnumbered",
            Self::Domain { .. } => "domain",
            Self::NoNode { .. } => "no-node",
            Self::Permissions { .. } => "node-permissions",
            Self::Interface { .. } => "interface",
            Self::NoCdev { .. } => "no-cdev",
            Self::Twice { .. } => "twice",
            Self::Companions { .. } => "companions",
            Self::Harmful { .. } => "node-harmful",
            Self::RootOnly { .. } => "root-only",
            Self::Uio { .. } => "uio",
            Self::CdiOff => "cdi-off",
            Self::NoKind { .. } => "cdi-no-kind",
            Self::CdiFile { .. } => "cdi-file",
            Self::CdiKind { .. } => "cdi-kind",
            Self::NoCdiDevice { .. } => "cdi-no-device",
            Self::CdiNodes { .. } => "cdi-nodes",
            Self::CdiOther { .. } => "cdi-other-node",
        }
    }
}

fn listed(addresses: &[PciAddress]) -> String {
    let texts: Vec<String> = addresses.iter().map(PciAddress::to_string).collect();
    texts.join(", ")
}
