//! The rules of which contracts are made.

use device_plugin::ResourceName;

use super::{Answer, Problem, cdi_file, nodes, variables};
use crate::names::{
    kubevirt_variable, mdev_variable, sriov_info_variable, sriov_shell_variable, sriov_variable,
};

/// A family of variables with the resource in their name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Naming {
    /// `PCI_RESOURCE_…`, of KubeVirt.
    Kubevirt,
    /// `MDEV_PCI_RESOURCE_…`, of KubeVirt for mediated devices.
    KubevirtMdev,
    /// `PCIDEVICE_…`, of the SR-IOV network device plugin.
    Sriov,
    /// `PCIDEVICE_…_INFO`, the same in JSON.
    SriovInfo,
}

/// One thing that a consumer relies on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Rule {
    /// The variable holds exactly the allocated addresses, full, in order, with commas and nothing else.
    Addresses(Naming),
    /// The variable is not set.
    Never(Naming),
    /// The JSON has an entry for each function under its full address, which it says once more.
    Info,
    /// A shell can read the addresses from a variable.
    ShellReadable,
    /// Numbered variables hold an address each, from 0 on, as many as were allocated.
    Numbered,
    /// The domain of each address has four digits.
    ShortDomain,
    /// The domain of each address is 0.
    DomainZero,
    /// The control node `/dev/vfio/vfio` is there.
    Control,
    /// The node of each function's group is there.
    Groups,
    /// A character device for each function is there.
    Cdevs,
    /// There is exactly one node of VFIO for each group, the control node aside.
    OneNodeEach,
    /// A group's node brings nothing but what was allocated.
    NoCompanions,
    /// `/dev/iommu` is not there.
    NoIommuNode,
    /// No function is on UIO.
    NotUio,
    /// Every node may be read and written.
    ReadWrite,
    /// Whoever runs the program may open the nodes.
    AnyUser,
    /// A CDI file names each function, under the resource as kind.
    CdiDevices,
    /// Each device of the CDI file has exactly one node, of VFIO and the same that the answer has.
    CdiNodes,
}

impl Naming {
    /// The variable of a resource.
    #[must_use]
    pub fn variable(self, resource: &ResourceName) -> String {
        match self {
            Self::Kubevirt => kubevirt_variable(resource),
            Self::KubevirtMdev => mdev_variable(resource),
            Self::Sriov => sriov_variable(resource),
            Self::SriovInfo => sriov_info_variable(resource),
        }
    }
}

impl Rule {
    /// What in the answer breaks the rule.
    #[must_use]
    pub fn check(self, answer: &Answer<'_>) -> Vec<Problem> {
        match self {
            Self::Addresses(naming) => variables::addresses(answer, naming),
            Self::Never(naming) => variables::never(answer, naming),
            Self::Info => variables::info(answer),
            Self::ShellReadable => {
                let shell = sriov_shell_variable(answer.resource);
                variables::shell_readable(answer, shell)
            }
            Self::Numbered => variables::numbered(answer),
            Self::ShortDomain => variables::domain(answer, 0xffff, "domains of four digits"),
            Self::DomainZero => variables::domain(answer, 0, "domain 0000"),
            Self::Control => nodes::control(answer),
            Self::Groups => nodes::groups(answer),
            Self::Cdevs => nodes::cdevs(answer),
            Self::OneNodeEach => nodes::one_each(answer),
            Self::NoCompanions => nodes::no_companions(answer),
            Self::NoIommuNode => nodes::no_iommu(answer),
            Self::NotUio => nodes::not_uio(answer),
            Self::ReadWrite => nodes::read_write(answer),
            Self::AnyUser => nodes::any_user(answer),
            Self::CdiDevices => cdi_file::devices(answer),
            Self::CdiNodes => cdi_file::nodes(answer),
        }
    }
}
