//! The text of a file.

use super::spec::{Device, Node, Shared};
use crate::{device::DeviceId, edits::Mount, resource_name::ResourceName};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
};

/// What a runtime does with a mount: the tree at that place, cut off from later mounts of the host.
const MOUNT_OPTIONS: [&str; 2] = ["rbind", "rprivate"];

/// Writes a specification whose parts have been checked.
pub(super) fn text(
    kind: &ResourceName,
    devices: &BTreeMap<DeviceId, Device>,
    shared: &Shared,
) -> String {
    let shared_edits = object([
        ("additionalGids", gids(&shared.additional_gids)),
        ("deviceNodes", list(shared.nodes.iter().map(node))),
        ("env", env(&shared.envs)),
        ("mounts", list(shared.mounts.iter().map(mount))),
    ]);
    let has_edits = shared_edits
        .as_object()
        .is_some_and(|edits| !edits.is_empty());
    let spec = object([
        ("cdiVersion", Some(version(kind, shared).into())),
        ("containerEdits", has_edits.then_some(shared_edits)),
        ("devices", list(devices.values().map(device))),
        ("kind", Some(kind.as_str().into())),
    ]);
    for_yaml(&format!("{spec:#}"))
}

/// The lowest version of the format that has what the file uses.
fn version(kind: &ResourceName, shared: &Shared) -> &'static str {
    if !shared.additional_gids.is_empty() {
        "0.7.0"
    } else if kind.name().contains('.') {
        "0.6.0"
    } else {
        "0.5.0"
    }
}

fn device(device: &Device) -> Value {
    let edits = object([
        ("deviceNodes", list([node(&device.node)])),
        ("env", env(&device.envs)),
        ("mounts", list(device.mounts.iter().map(mount))),
    ]);
    object([
        ("containerEdits", Some(edits)),
        ("name", Some(device.id.as_str().into())),
    ])
}

fn node(node: &Node) -> Value {
    let container = path(&node.node.container_path);
    let host = path(&node.node.host_path);
    object([
        ("fileMode", node.owner.mode.map(Value::from)),
        ("gid", node.owner.gid.map(Value::from)),
        ("hostPath", (host != container).then_some(host)),
        ("path", Some(container)),
        ("permissions", Some(node.node.permissions.as_str().into())),
        ("uid", node.owner.uid.map(Value::from)),
    ])
}

fn mount(mount: &Mount) -> Value {
    let access = if mount.read_only { "ro" } else { "rw" };
    let options = MOUNT_OPTIONS.into_iter().chain([access]);
    object([
        ("containerPath", Some(path(&mount.container_path))),
        ("hostPath", Some(path(&mount.host_path))),
        ("options", list(options.map(Value::from))),
    ])
}

fn env(envs: &BTreeMap<String, String>) -> Option<Value> {
    list(
        envs.iter()
            .map(|(name, value)| format!("{name}={value}").into()),
    )
}

fn gids(gids: &BTreeSet<u32>) -> Option<Value> {
    list(gids.iter().map(|gid| Value::from(*gid)))
}

/// The path as text. It has been checked to be text.
fn path(path: &Path) -> Value {
    path.to_string_lossy().into()
}

/// The values, unless there are none.
fn list(values: impl IntoIterator<Item = Value>) -> Option<Value> {
    let values: Vec<Value> = values.into_iter().collect();
    (!values.is_empty()).then_some(Value::Array(values))
}

/// An object of what is there. Callers give the keys in lexical order, so that the text is the same
/// whichever map `serde_json` is built with.
fn object<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
    let present = entries
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect())
}

/// The same JSON with those characters escaped that JSON allows in a string and YAML does not, or
/// takes for the end of a line. They occur in strings only.
fn for_yaml(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                // Writing to a `String` cannot fail.
                let _infallible = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text
}
