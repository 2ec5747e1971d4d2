//! The node that a file is read for.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use qat_policy::provision::is_for_node;
use qat_policy::{Family, identify};
use sysfs_pci::{Identity, SysfsRoot, fs};

/// A node as a file can speak of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ThisNode {
    /// Its name in the cluster. None: it is not known, so it is none of those that a file names.
    pub name: Option<String>,
    /// The families of the QAT functions that it has, whatever their drivers.
    pub hardware: BTreeSet<Family>,
}

impl ThisNode {
    /// Whether what is for these names and this hardware is for it. Where a condition is empty there is none.
    pub(super) fn fits(&self, nodes: &[String], hardware: &BTreeSet<Family>) -> bool {
        let has_it = hardware.is_empty() || !hardware.is_disjoint(&self.hardware);
        has_it && is_for_node(nodes, self.name.as_deref())
    }
}

/// ` on node `edge-1` with 4xxx`, to stand behind what it is said of; nothing for a node of which nothing is known.
impl Display for ThisNode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, " on node `{name}`")?;
        }
        for (number, family) in self.hardware.iter().enumerate() {
            let before = match (number, &self.name) {
                (0, Some(_)) => " with",
                (0, None) => " on a node with",
                _ => " and",
            };
            write!(f, "{before} {family}")?;
        }
        Ok(())
    }
}

/// The families of the QAT functions of a machine: PFs, and VFs in a guest, by their ids.
///
/// Reads `modalias` of every PCI function, which never blocks. What cannot be read is passed over.
pub(super) fn hardware(sysfs: &SysfsRoot) -> BTreeSet<Family> {
    let devices = sysfs.pci_devices();
    let functions = fs::list(&devices).unwrap_or_default();
    let families = functions.into_iter().filter_map(|entry| {
        let text = fs::read_text(&devices.join(entry.name).join("modalias")).ok()?;
        let identity: Identity = text.trim().parse().ok()?;
        identify(identity.id).map(|(family, _kind)| family)
    });
    families.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: Option<&str>, hardware: &[Family]) -> ThisNode {
        ThisNode {
            name: name.map(str::to_owned),
            hardware: hardware.iter().copied().collect(),
        }
    }

    #[test]
    fn every_condition_has_to_hold() {
        let edge = node(Some("edge-1"), &[Family::Gen4_4xxx]);
        let fits = |nodes: &[&str], hardware: &[Family]| {
            let nodes: Vec<_> = nodes.iter().map(|&glob| glob.to_owned()).collect();
            edge.fits(&nodes, &hardware.iter().copied().collect())
        };
        assert!(fits(&[], &[]));
        assert!(fits(&["edge-*"], &[Family::Gen4_4xxx, Family::C62x]));
        assert!(!fits(&["edge-*"], &[Family::C62x]));
        assert!(!fits(&["core-*"], &[Family::Gen4_4xxx]));
        assert!(!ThisNode::default().fits(&[], &[Family::C62x].into()));
    }

    #[test]
    fn it_says_what_is_known_of_it() {
        let families = [Family::C62x, Family::Gen4_4xxx];
        let texts = [
            (node(None, &[]), ""),
            (node(Some("a"), &[]), " on node `a`"),
            (node(None, &families[..1]), " on a node with c62x"),
            (
                node(Some("a"), &families),
                " on node `a` with c62x and 4xxx",
            ),
        ];
        for (node, text) in texts {
            assert_eq!(node.to_string(), text);
        }
    }
}
