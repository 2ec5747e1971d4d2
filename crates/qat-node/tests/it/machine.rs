//! A simulated machine and how a node looks at it.

use std::collections::BTreeSet;
use std::sync::Arc;

use node_sim::{Machine, SimNode};
use qat_node::hints::Pace;
use qat_node::{Calm, Ledger, Look, Looker, NodeSettings, NodeState, Roots, Wishes};
use qat_policy::{Rules, VfDrivers};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// A machine on disk and the settings of a node that serves it.
pub(crate) struct Site {
    pub(crate) node: SimNode,
    pub(crate) settings: NodeSettings,
    pub(crate) looker: Looker,
    _dir: TempDir,
}

impl Site {
    pub(crate) fn new(machine: Machine) -> Self {
        Self::with_drivers(machine, VfDrivers::default())
    }

    /// Where VFs are wanted on these drivers.
    pub(crate) fn with_drivers(machine: Machine, drivers: VfDrivers) -> Self {
        let dir = node_sim::scratch().unwrap();
        let node = machine.write(dir.path()).unwrap();
        let settings = NodeSettings {
            roots: Roots::new(node.sysfs(), node.dev())
                .with_kubelet(node.kubelet_dir())
                .with_cdi(dir.path().join("cdi")),
            wishes: Wishes {
                rules: Rules {
                    drivers,
                    ..Rules::default()
                },
                ..Wishes::default()
            }
            .fixed(),
            pace: Pace::AsNeeded,
            metrics: Arc::default(),
            state_dir: dir.path().join("state"),
            binding: None,
            labels: None,
        };
        let looker = Looker::new(&settings.roots, settings.rules());
        Self {
            node,
            settings,
            looker,
            _dir: dir,
        }
    }

    /// Has the operator wish for something else.
    pub(crate) fn wish(&mut self, change: impl FnOnce(&mut Wishes)) {
        let mut wishes = Wishes::clone(&self.settings.wishes.borrow());
        change(&mut wishes);
        self.settings.wishes = wishes.fixed();
    }

    pub(crate) fn look(&mut self) -> Look {
        self.looker.look(&BTreeSet::new()).unwrap()
    }
}

/// Judges where nobody has asked who holds what.
pub(crate) fn judged(before: &NodeState, look: &Look) -> NodeState {
    judge(before, look, &Ledger::default(), Instant::now())
}

/// Judges with the usual patience.
pub(crate) fn judge(before: &NodeState, look: &Look, ledger: &Ledger, now: Instant) -> NodeState {
    qat_node::judge(before, look, ledger, Calm::default(), now)
}

/// What a state tells, whenever it was.
pub(crate) fn told(state: &NodeState) -> Value {
    serde_json::to_value(state).unwrap()
}
