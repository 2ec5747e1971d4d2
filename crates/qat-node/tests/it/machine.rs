//! A simulated machine and how a node looks at it.

use std::collections::BTreeSet;
use std::time::Duration;

use node_sim::{Machine, SimNode};
use qat_node::{Look, Looker, NodeSettings, Roots};
use qat_policy::{AllocationPolicy, Family, ResourceNames};
use tempfile::TempDir;

/// A machine on disk and the settings of a node that serves it.
pub(crate) struct Site {
    pub(crate) node: SimNode,
    pub(crate) settings: NodeSettings,
    pub(crate) looker: Looker,
    _dir: TempDir,
}

impl Site {
    pub(crate) fn new(machine: Machine) -> Self {
        let dir = node_sim::scratch().unwrap();
        let node = machine.write(dir.path()).unwrap();
        let settings = NodeSettings {
            roots: Roots::new(node.sysfs(), node.dev()).with_kubelet(node.kubelet_dir()),
            families: Family::all().iter().copied().collect(),
            names: ResourceNames::Canonical,
            cap: None,
            policy: AllocationPolicy::None,
            rescan: Duration::from_secs(5),
        };
        let looker = Looker::new(&settings.roots, settings.rules());
        Self {
            node,
            settings,
            looker,
            _dir: dir,
        }
    }

    pub(crate) fn look(&mut self) -> Look {
        self.looker.look(&BTreeSet::new()).unwrap()
    }
}
