//! What a container is given.

use std::path::Path;

use device_plugin::ResourceName;
use sysfs_pci::PciAddress;
use vfio_host::{UioNode, VfioNode};

use crate::NumberedPrefix;

/// The functions of one resource that one container is given.
#[derive(Clone, Debug)]
pub struct Grant<'a> {
    /// The resource that the container asked for.
    pub resource: &'a ResourceName,
    /// The functions, in any order; the answer is in address order.
    pub functions: Vec<GrantedFunction>,
    /// The control node of VFIO. It is handed out if a function comes with a node of VFIO. `None` where
    /// no function does.
    pub control: Option<VfioNode>,
    /// The start of the names of numbered variables, if the container is to have those.
    pub numbered_prefix: Option<&'a NumberedPrefix>,
    /// The answer names the functions in CDI as well, for runtimes that know it. A file must describe them:
    /// [`cdi_spec`](crate::cdi_spec). A resource whose name is no kind of CDI gets none.
    pub cdi_names: bool,
}

/// A function that a container is given.
#[derive(Clone, Debug)]
pub struct GrantedFunction {
    /// Its address on the host.
    pub address: PciAddress,
    /// Its nodes: one, two where a container is to have both interfaces of VFIO, none if it is to learn
    /// the address and no more. See [`VfioInterface`](crate::VfioInterface).
    pub nodes: Vec<FunctionNode>,
}

/// A node through which a function is driven from user space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionNode {
    /// Through VFIO.
    Vfio(VfioNode),
    /// Through UIO, without the protection of an IOMMU.
    Uio(UioNode),
}

impl FunctionNode {
    /// Where the container sees the node.
    pub fn container_path(&self) -> &Path {
        match self {
            Self::Vfio(node) => &node.container_path,
            Self::Uio(node) => &node.host_path,
        }
    }

    /// Where the node is on the host.
    pub fn host_path(&self) -> &Path {
        match self {
            Self::Vfio(node) => &node.host_path,
            Self::Uio(node) => &node.host_path,
        }
    }
}

impl From<VfioNode> for FunctionNode {
    fn from(node: VfioNode) -> Self {
        Self::Vfio(node)
    }
}

impl From<UioNode> for FunctionNode {
    fn from(node: UioNode) -> Self {
        Self::Uio(node)
    }
}
