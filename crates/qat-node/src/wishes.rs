//! What an operator may change while the plugin runs.

use std::sync::Arc;

use qat_policy::Rules;
use qat_policy::health::HealthRules;
use tokio::sync::watch;

use crate::Calm;
use crate::config::ConfigStatus;
use crate::pools::PoolConfig;

/// What an operator may change while the plugin runs.
///
/// The owner takes new wishes from a watch channel ([`NodeSettings::wishes`](crate::NodeSettings::wishes)) and looks anew. A VF that
/// belongs to another pool then leaves its old one as it does when its services change: when no pod holds it. A pool whose
/// VFs stay the same is not touched: the kubelet hears nothing, and what was changed holds from the next answer on.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Wishes {
    /// Which VFs are offered, and as what.
    pub rules: Rules,
    /// How VFs reach containers, pool by pool.
    pub pools: Arc<PoolConfig>,
    /// When a PF is checked, and when it is well again.
    pub health: HealthRules,
    /// How often a VF may come and go.
    pub calm: Calm,
    /// Which version of the configuration file this is. It arrives with the rest, so that `state.json` never names a version whose
    /// pools are not applied yet. `None` without a file.
    pub file: Option<ConfigStatus>,
}

impl Wishes {
    /// The same, but for what takes a restart, which is as it was: families and drivers decide what is done to the machine.
    #[must_use]
    pub fn keeping(self, before: &Self) -> Self {
        Self {
            rules: Rules {
                families: before.rules.families.clone(),
                drivers: before.rules.drivers.clone(),
                ..self.rules
            },
            ..self
        }
    }

    /// Wishes that never change.
    #[must_use]
    pub fn fixed(self) -> watch::Receiver<Arc<Self>> {
        watch::Sender::new(Arc::new(self)).subscribe()
    }
}
