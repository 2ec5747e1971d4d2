//! The YAML file.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use device_plugin::cdi::Owner;
use qat_policy::health::HealthRules;
use qat_policy::provision::Rule;
use qat_policy::{Family, Selector};
use serde::Deserialize;
use sysfs_pci::SysfsRoot;
use thiserror::Error;

use super::file::read;
use super::sections::{Admin, Offer, YamlHealth, YamlOverride, YamlPool, YamlRule};
use super::suggest::suggest;
use super::this_node::{ThisNode, hardware};
use super::{FileError, sha256};
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
    #[cfg_attr(test, schemars(extend("enum" = [VERSION])))]
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
    #[error("`{}`{node}: {problem}", path.display())]
    Pools {
        /// The file.
        path: PathBuf,
        /// The node on which it is so; one of which nothing is known: on each that the file does not speak of.
        node: ThisNode,
        /// What is wrong.
        problem: Box<PoolProblem>,
    },
    /// An override does not say for which nodes it is.
    #[error(
        "`{}`: override {number} has neither `nodes` nor `hardware`, so it is for no node; what is for all stands above", path.display()
    )]
    ForNobody {
        /// The file.
        path: PathBuf,
        /// Its place among the overrides, from 1.
        number: usize,
    },
}

/// The text of a configuration file, before it is parsed.
///
/// Text and digest come from one read, so the digest names what [`parse`](Self::parse) parses, even if the file changes meanwhile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigText {
    path: PathBuf,
    text: String,
}

impl ConfigText {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = read(path)?;
        let path = path.to_owned();
        Ok(Self { path, text })
    }

    /// Returns the SHA-256 of the file in lower-case hexadecimal, as `sha256sum` prints it.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256(self.text.as_bytes())
    }

    /// Parses the text and checks it for every node that it names.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn parse(self) -> Result<NodeConfig, ConfigError> {
        parse(self.path, &self.text)
    }
}

/// Reads a configuration file, and checks it for every node that it names.
///
/// # Errors
///
/// [`ConfigError`].
pub fn read_config(path: &Path) -> Result<NodeConfig, ConfigError> {
    ConfigText::read(path)?.parse()
}

pub(super) fn parse(path: PathBuf, text: &str) -> Result<NodeConfig, ConfigError> {
    let config: NodeConfig = match serde_saphyr::from_str(text) {
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
    let mut numbered = (1..).zip(&config.overrides);
    if let Some((number, _)) =
        numbered.find(|(_, one)| one.nodes.is_empty() && one.hardware.is_empty())
    {
        return Err(ConfigError::ForNobody { path, number });
    }
    for node in config.kinds_of_nodes() {
        if let Err(problem) = config.on(&node).pools() {
            let problem = Box::new(problem);
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

    /// What it says for the machine that `sysfs` shows, whose name in the cluster is this. Costs a read for each PCI function where
    /// something is for hardware, and nothing else.
    #[must_use]
    pub fn on_this_machine(&self, name: Option<String>, sysfs: &SysfsRoot) -> OnNode {
        let pools = self.pools.iter().any(|rule| !rule.hardware.is_empty());
        let overrides = self.overrides.iter().any(|one| !one.hardware.is_empty());
        let hardware = if pools || overrides {
            hardware(sysfs)
        } else {
            BTreeSet::new()
        };
        self.on(&ThisNode { name, hardware })
    }

    /// What it says for one node.
    #[must_use]
    pub fn on(&self, node: &ThisNode) -> OnNode {
        let mut told = OnNode {
            offer: self.offer.clone(),
            admin: self.admin,
            health: self.health,
            pools: Vec::new(),
        };
        let rules = self.pools.iter();
        let fitting = rules.filter(|rule| node.fits(&rule.nodes, &rule.hardware));
        told.pools.extend(fitting.cloned());
        for more in &self.overrides {
            if node.fits(&more.nodes, &more.hardware) {
                told.offer.overlay(&more.offer);
                told.admin.overlay(&more.admin);
                told.health.overlay(&more.health);
            }
        }
        told
    }

    /// Nodes of every kind that its rules for pools tell apart. A pattern fits itself, so it stands for the nodes that it is for.
    fn kinds_of_nodes(&self) -> Vec<ThisNode> {
        let patterns = self.pools.iter().flat_map(|rule| &rule.nodes);
        let names = [None].into_iter().chain(patterns.cloned().map(Some));
        let all: BTreeSet<Family> = self
            .pools
            .iter()
            .flat_map(|rule| &rule.hardware)
            .copied()
            .collect();
        let mut kinds: Vec<BTreeSet<Family>> = all.iter().map(|family| [*family].into()).collect();
        kinds.push(BTreeSet::new());
        if all.len() > 1 {
            kinds.push(all);
        }
        let nodes = names.flat_map(|name| {
            kinds.iter().map(move |hardware| ThisNode {
                name: name.clone(),
                hardware: hardware.clone(),
            })
        });
        nodes.collect()
    }
}

/// What a configuration file says for one node, before flags and defaults.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OnNode {
    /// What is offered.
    pub offer: Offer,
    /// How the plugin tells of itself.
    pub admin: Admin,
    health: YamlHealth,
    pools: Vec<YamlPool>,
}

impl OnNode {
    /// Which pools there are, and how their VFs reach containers.
    ///
    /// # Errors
    ///
    /// [`PoolProblem`], when rules contradict each other or ask for what there cannot be. A file that [`read_config`] has read
    /// has rules that fit together on each kind of node that it tells apart.
    pub fn pools(&self) -> Result<PoolConfig, PoolProblem> {
        let rules = self.pools.iter();
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

    /// When a PF is checked, and when it is well again.
    #[must_use]
    pub fn health(&self) -> HealthRules {
        let usual = HealthRules::default();
        let typed = self.health;
        HealthRules {
            heartbeat: typed.heartbeat.unwrap_or(usual.heartbeat),
            check_interval: typed.check_interval.unwrap_or(usual.check_interval),
            good_checks: typed.good_checks.map_or(usual.good_checks, NonZeroU32::get),
        }
    }

    /// How often a VF may come and go.
    #[must_use]
    pub fn calm(&self) -> Calm {
        let usual = Calm::default();
        let typed = self.health;
        let falls = typed.falls.map(NonZeroU32::get);
        Calm {
            falls: falls
                .and_then(|falls| falls.try_into().ok())
                .unwrap_or(usual.falls),
            quiet: typed.quiet.unwrap_or(usual.quiet),
        }
    }

    /// The keys of `health` that the file has.
    #[must_use]
    pub fn typed_health_keys(&self) -> Vec<&'static str> {
        let typed = self.health;
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
}
