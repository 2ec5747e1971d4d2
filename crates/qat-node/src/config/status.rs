//! Which version of the configuration file is in force.

use std::collections::BTreeSet;
use std::path::PathBuf;

use qat_policy::PoolName;
use serde::{Deserialize, Serialize};

/// Which version of the configuration file is in force, as `state.json` and the metrics report it. Times are seconds since the epoch.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigStatus {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the version that is in force.
    pub sha256: String,
    /// When the plugin applied this version.
    pub since: u64,
    /// Pools with a selector of their own on this node. Each should have VFs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub selected: BTreeSet<PoolName>,
    /// Keys whose new values the plugin applies only when it restarts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub restart_required: BTreeSet<String>,
    /// The newest version of the file, if the plugin refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedConfig>,
}

/// A version of the configuration file that the plugin refused. The version before it stays in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedConfig {
    /// SHA-256 of this version; `None` if the file cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// When the plugin refused it.
    pub since: u64,
    /// Why.
    pub error: String,
}
