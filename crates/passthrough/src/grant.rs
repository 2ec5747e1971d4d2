//! What a container is given.

use device_plugin::ResourceName;
use sysfs_pci::PciAddress;
use vfio_host::VfioNode;

/// The functions of one resource that one container is given.
#[derive(Clone, Debug)]
pub struct Grant<'a> {
    /// The resource that the container asked for.
    pub resource: &'a ResourceName,
    /// The functions, in any order; the answer is in address order.
    pub functions: Vec<GrantedFunction>,
    /// The control node. It is handed out if a function comes with a node.
    pub control: VfioNode,
    /// The start of the names of numbered variables, if the container is to have those.
    pub numbered_prefix: Option<&'a str>,
}

/// A function that a container is given.
#[derive(Clone, Debug)]
pub struct GrantedFunction {
    /// Its address on the host.
    pub address: PciAddress,
    /// Its node; none if the container is to learn the address and no more.
    pub node: Option<VfioNode>,
}
