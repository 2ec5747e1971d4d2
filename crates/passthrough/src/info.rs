//! The value of `PCIDEVICE_…_INFO`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use vfio_host::VfioNode;

use crate::edits::Functions;
use crate::grant::FunctionNode;

/// What is known of each function, as JSON in one line with its keys in lexical order, the form
/// of the SR-IOV network device plugin (`pool_stub.go`, `vfioInfoProvider.go` and `uioInfoProvider.go`
/// there).
///
/// The paths are those in the container. Addresses are in full, since Kata's agent replaces them as
/// text.
pub(crate) fn info(functions: &Functions, control: Option<&VfioNode>) -> String {
    object(functions.iter().map(|(address, node)| {
        let address = address.to_string();
        let generic = object([("deviceID".to_owned(), Value::String(address.clone()))]);
        let parts = [("generic".to_owned(), generic)];
        let way = node.as_ref().map(|node| way(node, control));
        (address, object(parts.into_iter().chain(way)))
    }))
    .to_string()
}

/// The way into a function: its name, and the paths that belong to it.
fn way(node: &FunctionNode, control: Option<&VfioNode>) -> (String, Value) {
    let place = path(node.container_path());
    match node {
        FunctionNode::Vfio(_) => {
            let control = control.map(|node| ("mount".to_owned(), path(&node.container_path)));
            let paths = [("dev-mount".to_owned(), place)];
            ("vfio".to_owned(), object(paths.into_iter().chain(control)))
        }
        FunctionNode::Uio(_) => ("uio".to_owned(), object([("mount".to_owned(), place)])),
    }
}

/// An object whose keys are in lexical order, whichever map `serde_json` is built with.
fn object(entries: impl IntoIterator<Item = (String, Value)>) -> Value {
    let sorted: BTreeMap<String, Value> = entries.into_iter().collect();
    Value::Object(Map::from_iter(sorted))
}

fn path(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}
