//! Which version of the configuration file is in force.

use std::sync::PoisonError;

use super::Metrics;
use super::labels::{ConfigVersion, Reloaded};
use crate::config::ConfigStatus;

impl Metrics {
    pub(super) fn register_the_configuration(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "config_reloads",
            "Reads of the configuration file, by result",
            self.reloads.clone(),
        );
        registry.register(
            "config_stale",
            "Whether the newest version of the configuration file was refused, so that the version before it is in force",
            self.stale.clone(),
        );
        registry.register(
            "config_info",
            "The version of the configuration file that is in force, by its SHA-256",
            self.config.family.clone(),
        );
        registry.register(
            "config_restart_required",
            "Changed keys of the configuration file that the plugin applies only when it restarts",
            self.restart_required.clone(),
        );
    }

    /// Counts a read of the configuration file, and whether it could be used.
    pub fn configured(&self, usable: bool) {
        let result = if usable { "applied" } else { "refused" };
        self.reloads.get_or_create(&Reloaded { result }).inc();
        self.stale.set(i64::from(!usable));
    }

    /// Shows which version of the configuration file is in force.
    pub fn config(&self, status: &ConfigStatus) {
        let sha256 = status.sha256.clone();
        self.config
            .show([(ConfigVersion { sha256 }, 1)].into_iter().collect());
        let keys = &status.restart_required;
        self.restart_required
            .set(i64::try_from(keys.len()).unwrap_or(i64::MAX));
        let path = status.path.display();
        let refused = status.refused.as_ref().map(|refused| {
            format!(
                "the newest version of `{path}` was refused, the version before it is in force: {}",
                refused.error
            )
        });
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let restart = (!keys.is_empty())
            .then(|| format!("a restart is required to apply: {}", keys.join(", ")));
        let notes = refused.into_iter().chain(restart).collect();
        *self
            .config_notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = notes;
    }

    /// Returns what an operator should know about a plugin that is [ready](Self::ready), a line each.
    ///
    /// A refused configuration is such a note and no reason to be unready: the plugin serves with the version before it, and an
    /// unready pod would stop the rollout of a `DaemonSet`, also of one that brings the cure.
    pub fn notes(&self) -> Vec<String> {
        let notes = self.config_notes.lock();
        notes.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
