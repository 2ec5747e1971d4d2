//! The value of `PCIDEVICE_…_INFO`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use sysfs_pci::PciAddress;
use vfio_host::VfioNode;

/// What is known of each function, as JSON in one line with its keys in lexical order, the form
/// of the SR-IOV network device plugin (`pool_stub.go` and `vfioInfoProvider.go` there).
///
/// The paths are those in the container. Addresses are in full, since Kata's agent replaces them as
/// text.
pub(crate) fn info(
    functions: &BTreeMap<PciAddress, Option<VfioNode>>,
    control: &VfioNode,
) -> String {
    object(functions.iter().map(|(address, node)| {
        let address = address.to_string();
        let generic = object([("deviceID".to_owned(), Value::String(address.clone()))]);
        let vfio = node.as_ref().map(|node| {
            object([
                ("dev-mount".to_owned(), path(&node.container_path)),
                ("mount".to_owned(), path(&control.container_path)),
            ])
        });
        let parts = [("generic".to_owned(), generic)];
        (
            address,
            object(
                parts
                    .into_iter()
                    .chain(vfio.map(|vfio| ("vfio".to_owned(), vfio))),
            ),
        )
    }))
    .to_string()
}

/// An object whose keys are in lexical order, whichever map `serde_json` is built with.
fn object(entries: impl IntoIterator<Item = (String, Value)>) -> Value {
    let sorted: BTreeMap<String, Value> = entries.into_iter().collect();
    Value::Object(Map::from_iter(sorted))
}

fn path(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}
