//! The functions of a grant, in the order of answers.

use std::collections::BTreeMap;
use std::path::Path;

use sysfs_pci::PciAddress;

use crate::grant::{FunctionNode, Grant};

/// Functions by address, each with its nodes.
pub(crate) type Functions = BTreeMap<PciAddress, Vec<FunctionNode>>;

/// Each function once, in address order, and its nodes in the order of their paths. Where one is granted
/// twice it has the nodes of both.
pub(crate) fn functions(grant: &Grant<'_>) -> Functions {
    let mut functions = Functions::new();
    for function in &grant.functions {
        let nodes = functions.entry(function.address).or_default();
        nodes.extend(function.nodes.iter().cloned());
    }
    for nodes in functions.values_mut() {
        nodes.sort_by(|one, other| path_order(one).cmp(&path_order(other)));
        nodes.dedup();
    }
    functions
}

/// Whether a user of the functions needs the control node.
pub(crate) fn on_vfio(functions: &Functions) -> bool {
    let mut nodes = functions.values().flatten();
    nodes.any(|node| matches!(node, FunctionNode::Vfio(_)))
}

fn path_order(node: &FunctionNode) -> (&Path, &Path) {
    (node.container_path(), node.host_path())
}
