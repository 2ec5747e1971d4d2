//! The value of `PCIDEVICE_…_INFO`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use vfio_host::{NodeKind, VfioNode};

use crate::functions::Functions;
use crate::grant::FunctionNode;

/// What is known of each function, as JSON in one line with its keys in lexical order, the form
/// of the SR-IOV network device plugin (`pool_stub.go`, `vfioInfoProvider.go` and `uioInfoProvider.go`
/// there).
///
/// The paths are those in the container. Addresses are in full, since Kata's agent replaces them as
/// text.
pub(crate) fn info(functions: &Functions, control: Option<&VfioNode>) -> String {
    object(functions.iter().map(|(address, nodes)| {
        let address = address.to_string();
        let generic = object([("deviceID".to_owned(), Value::String(address.clone()))]);
        let parts = [("generic".to_owned(), generic)];
        (
            address,
            object(parts.into_iter().chain(ways(nodes, control))),
        )
    }))
    .to_string()
}

/// The ways into a function: the name of each, and the paths that belong to it. A character device of its
/// own, which the SR-IOV plugin does not know, is `cdev`.
fn ways(nodes: &[FunctionNode], control: Option<&VfioNode>) -> Vec<(String, Value)> {
    let mut vfio = Vec::new();
    let mut ways = Vec::new();
    for node in nodes {
        let place = path(node.container_path());
        match node {
            FunctionNode::Vfio(node) if node.kind == NodeKind::Cdev => {
                vfio.push(("cdev".to_owned(), place));
            }
            FunctionNode::Vfio(_) => vfio.push(("dev-mount".to_owned(), place)),
            FunctionNode::Uio(_) => {
                ways.push(("uio".to_owned(), object([("mount".to_owned(), place)])));
            }
        }
    }
    if !vfio.is_empty() {
        vfio.extend(control.map(|node| ("mount".to_owned(), path(&node.container_path))));
        ways.push(("vfio".to_owned(), object(vfio)));
    }
    ways
}

/// An object whose keys are in lexical order, whichever map `serde_json` is built with.
fn object(entries: impl IntoIterator<Item = (String, Value)>) -> Value {
    let sorted: BTreeMap<String, Value> = entries.into_iter().collect();
    Value::Object(Map::from_iter(sorted))
}

fn path(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}
