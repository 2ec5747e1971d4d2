//! Labels of the node, in a file for Node Feature Discovery.
//!
//! Its worker reads files in `/etc/kubernetes/node-feature-discovery/features.d` (the local feature source: a name and a value on each line,
//! hidden files left out) and has the node labelled. So the plugin needs no access to the API server for that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use qat_policy::Inventory;

use crate::NodeState;
use crate::journal::{Fact, Weight};

/// The namespace of Intel's label for nodes with QAT, which Node Feature Discovery lets pass.
const PREFIX: &str = "intel.feature.node.kubernetes.io/qat";

/// The longest name of a label, without its namespace (Kubernetes' rules for labels).
const LONGEST: usize = 63;

/// Keeps the file as the node is.
#[derive(Debug)]
pub(crate) struct Labels {
    file: Option<PathBuf>,
    /// What the file says.
    written: Option<String>,
}

impl Labels {
    /// Has written nothing yet. Without a file nothing is ever written.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self {
            file,
            written: None,
        }
    }

    /// Writes the file if it would say something else. Says why if that cannot be.
    pub(crate) fn tend(&mut self, inventory: &Inventory, state: &NodeState) -> Option<Fact> {
        let file = self.file.as_ref()?;
        let text = text(inventory, state);
        if self.written.as_ref() == Some(&text) {
            return None;
        }
        match replace(file, &text) {
            Ok(()) => {
                self.written = Some(text);
                None
            }
            Err(error) => Some(Fact {
                weight: Weight::Warning,
                text: format!(
                    "labels for Node Feature Discovery cannot be written to `{}`: {error}",
                    file.display()
                ),
            }),
        }
    }
}

/// Families, VFs, and how many VFs each resource has, healthy or not: a label that comes and goes with health would move pods.
fn text(inventory: &Inventory, state: &NodeState) -> String {
    let mut labels = BTreeMap::new();
    let pfs = inventory.pfs.values().map(|pf| pf.family);
    let vfs = inventory.vfs.values().map(|vf| vf.family);
    for family in pfs.chain(vfs).collect::<BTreeSet<_>>() {
        labels.insert(format!(".family-{family}"), "true".to_owned());
    }
    if !inventory.vfs.is_empty() {
        labels.insert(".vfs".to_owned(), inventory.vfs.len().to_string());
    }
    for (pool, vfs) in &state.pools {
        labels.insert(format!(".resource-{pool}"), vfs.len().to_string());
    }
    if !labels.is_empty() {
        labels.insert(String::new(), "true".to_owned());
    }
    let mut text = String::new();
    for (name, value) in labels {
        if "qat".len() + name.len() <= LONGEST {
            let _infallible = writeln!(text, "{PREFIX}{name}={value}");
        }
    }
    text
}

/// Puts a file in its place at once. The one that is not finished is hidden.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = file.with_file_name(format!(".{name}.new"));
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, file)
}
