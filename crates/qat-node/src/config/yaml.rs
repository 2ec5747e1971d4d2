//! The YAML file.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use device_plugin::cdi::Owner;
use qat_policy::Selector;
use qat_policy::health::HealthRules;
use qat_policy::provision::{Rule, is_for_node};
use serde::Deserialize;
use thiserror::Error;

use super::FileError;
use super::file::read;
use super::sections::{Admin, Offer, YamlHealth, YamlOverride, YamlPool, YamlRule};
use super::suggest::suggest;
use crate::Calm;
use crate::pools::{PoolConfig, PoolProblem, PoolRule};

/// The version of the schema that this program reads.
const VERSION: u32 = 1;

/// What a configuration file says, for one node or many. Keys are camelCase, as in Kubernetes, and unknown ones are refused.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeConfig {
    /// The version of the form: 1.
    pub version: u32,
    /// What is offered. Each key stands for a flag.
    #[serde(default)]
    offer: Offer,
    /// What is wanted of PFs, for `qat-plugin provision`.
    #[serde(default)]
    provisioning: Vec<YamlRule>,
    /// Which pools there are, and how their VFs reach containers.
    #[serde(default)]
    pools: Vec<YamlPool>,
    /// How health is judged.
    #[serde(default)]
    health: YamlHealth,
    /// How the plugin tells of itself.
    #[serde(default)]
    admin: Admin,
    /// What is otherwise on some nodes.
    #[serde(default)]
    overrides: Vec<YamlOverride>,
}

impl Default for NodeConfig {
    /// What no file at all says.
    fn default() -> Self {
        Self {
            version: VERSION,
            offer: Offer::default(),
            provisioning: Vec::new(),
            pools: Vec::new(),
            health: YamlHealth::default(),
            admin: Admin::default(),
            overrides: Vec::new(),
        }
    }
}

/// Why a configuration file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no YAML, or not of this form. The text has line and column.
    #[error("`{}`: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what was expected.
        problem: String,
    },
    /// It has another version.
    #[error("`{}` has version {found}, and this program reads version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Its rules for pools contradict each other or ask for what there cannot be.
    #[error("`{}`{}: {problem}", path.display(), on(node.as_deref()))]
    Pools {
        /// The file.
        path: PathBuf,
        /// The node on which it is so; none: on each whose name is not in the file.
        node: Option<String>,
        /// What is wrong.
        problem: Box<PoolProblem>,
    },
}

fn on(node: Option<&str>) -> String {
    node.map_or_else(String::new, |node| format!(" on node `{node}`"))
}

/// Reads a configuration file, and checks it for every node that it names.
///
/// # Errors
///
/// [`ConfigError`].
pub fn read_config(path: &Path) -> Result<NodeConfig, ConfigError> {
    let text = read(path)?;
    let path = path.to_owned();
    let config: NodeConfig = match serde_saphyr::from_str(&text) {
        Ok(config) => config,
        Err(error) => {
            let problem = suggest(&error.to_string());
            return Err(ConfigError::Invalid { path, problem });
        }
    };
    if config.version != VERSION {
        let found = config.version;
        return Err(ConfigError::Version { path, found });
    }
    // A pattern fits itself, so it stands for the nodes that it is for.
    let named = config.pools.iter().flat_map(|rule| &rule.nodes);
    let nodes = [None].into_iter().chain(named.map(Some));
    for node in nodes {
        if let Err(problem) = config.pools(node.map(String::as_str)) {
            let (node, problem) = (node.cloned(), Box::new(problem));
            return Err(ConfigError::Pools {
                path,
                node,
                problem,
            });
        }
    }
    Ok(config)
}

impl NodeConfig {
    /// Whether something in it is for nodes that it names, so that the node's own name has to be known.
    #[must_use]
    pub fn names_nodes(&self) -> bool {
        let pools = self.pools.iter().map(|rule| &rule.nodes);
        let rules = self.provisioning.iter().map(|rule| &rule.nodes);
        let overrides = self.overrides.iter().map(|one| &one.nodes);
        pools
            .chain(rules)
            .chain(overrides)
            .any(|nodes| !nodes.is_empty())
    }

    /// The rules for PFs, numbered for messages as they stand in the file.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        (1_usize..)
            .zip(&self.provisioning)
            .map(|(number, rule)| Rule {
                name: format!("provisioning rule {number}"),
                nodes: rule.nodes.clone(),
                family: rule.family,
                pf: rule.pf,
                services: rule.services,
                auto_reset: rule.auto_reset,
                vfs: rule.vfs,
                driver: rule.driver,
            })
            .collect()
    }

    /// Which pools a node has, and how their VFs reach containers.
    ///
    /// # Errors
    ///
    /// [`PoolProblem`], when rules contradict each other or ask for what there cannot be. A file that [`read_config`] has read
    /// has rules that fit together on each node that is named.
    pub fn pools(&self, node: Option<&str>) -> Result<PoolConfig, PoolProblem> {
        let rules = self.pools.iter();
        let rules = rules.filter(|rule| is_for_node(&rule.nodes, node));
        let rules = rules.map(|rule| PoolRule {
            pool: rule.pool.clone(),
            select: rule.select.as_ref().map(|select| Selector {
                family: select.family,
                pfs: select.pf.clone(),
                vfs: select.vfs,
                numa_node: select.numa_node,
                services: select.services,
            }),
            name: rule.name.clone(),
            policy: rule.allocation_policy,
            topology: rule.topology,
            interface: rule.vfio,
            cdi: rule.cdi,
            owner: rule.owner.map(|owner| Owner {
                uid: owner.uid,
                gid: owner.gid,
                mode: owner.mode,
            }),
            numbering: rule.numbered_prefix.clone(),
        });
        PoolConfig::new(rules.collect())
    }

    /// What a node offers, as far as the file says it.
    #[must_use]
    pub fn offer(&self, node: Option<&str>) -> Offer {
        let mut offer = self.offer.clone();
        self.overlays(node)
            .for_each(|more| offer.overlay(&more.offer));
        offer
    }

    /// How the plugin of a node tells of itself, as far as the file says it.
    #[must_use]
    pub fn admin(&self, node: Option<&str>) -> Admin {
        let mut admin = self.admin;
        self.overlays(node)
            .for_each(|more| admin.overlay(&more.admin));
        admin
    }

    /// When a PF is checked, and when it is well again.
    #[must_use]
    pub fn health(&self, node: Option<&str>) -> HealthRules {
        let usual = HealthRules::default();
        let typed = self.typed_health(node);
        HealthRules {
            heartbeat: typed.heartbeat.unwrap_or(usual.heartbeat),
            check_interval: typed.check_interval.unwrap_or(usual.check_interval),
            good_checks: typed.good_checks.map_or(usual.good_checks, NonZeroU32::get),
        }
    }

    /// How often a VF may come and go.
    #[must_use]
    pub fn calm(&self, node: Option<&str>) -> Calm {
        let usual = Calm::default();
        let typed = self.typed_health(node);
        let falls = typed.falls.map(NonZeroU32::get);
        Calm {
            falls: falls
                .and_then(|falls| falls.try_into().ok())
                .unwrap_or(usual.falls),
            quiet: typed.quiet.unwrap_or(usual.quiet),
        }
    }

    /// The keys of `health` that the file has for a node.
    #[must_use]
    pub fn typed_health_keys(&self, node: Option<&str>) -> Vec<&'static str> {
        let typed = self.typed_health(node);
        let keys = [
            ("heartbeat", typed.heartbeat.is_some()),
            ("checkInterval", typed.check_interval.is_some()),
            ("goodChecks", typed.good_checks.is_some()),
            ("falls", typed.falls.is_some()),
            ("quiet", typed.quiet.is_some()),
        ];
        keys.iter()
            .filter_map(|(key, typed)| typed.then_some(*key))
            .collect()
    }

    fn typed_health(&self, node: Option<&str>) -> YamlHealth {
        let mut health = self.health;
        self.overlays(node)
            .for_each(|more| health.overlay(&more.health));
        health
    }

    fn overlays(&self, node: Option<&str>) -> impl Iterator<Item = &YamlOverride> {
        let overrides = self.overrides.iter();
        overrides.filter(move |more| !more.nodes.is_empty() && is_for_node(&more.nodes, node))
    }
}
