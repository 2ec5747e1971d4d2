//! The YAML file.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use device_plugin::cdi::Owner;
use passthrough::VfioInterface;
use qat_policy::health::HealthRules;
use qat_policy::provision::{DriverGoal, Rule, VfDriver, VfsGoal};
use qat_policy::{Family, PoolName, ServiceSet};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use sysfs_pci::PciAddress;
use thiserror::Error;

use super::FileError;
use super::file::read;
use super::time::parse_time;
use crate::Calm;
use crate::pools::{CdiMode, Numbering, PoolConfig, PoolProblem, PoolRule};

/// The version of the schema that this program reads.
const VERSION: u32 = 1;

/// What a configuration file says. Keys are camelCase, as in Kubernetes, and unknown ones are refused.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfig {
    /// The version of the schema: 1.
    pub version: u32,
    /// What is wanted of PFs.
    #[serde(default)]
    provisioning: Vec<YamlRule>,
    /// How VFs reach containers.
    #[serde(default)]
    pools: Vec<YamlPool>,
    /// How health is judged.
    #[serde(default)]
    health: YamlHealth,
}

impl Default for NodeConfig {
    /// What no file at all says.
    fn default() -> Self {
        Self {
            version: VERSION,
            provisioning: Vec::new(),
            pools: Vec::new(),
            health: YamlHealth::default(),
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
}

/// A rule as it is written.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct YamlRule {
    #[serde(default)]
    nodes: Vec<String>,
    family: Option<Family>,
    pf: Option<PciAddress>,
    #[serde(default, deserialize_with = "services")]
    services: Option<ServiceSet>,
    #[serde(default, deserialize_with = "on_off")]
    auto_reset: Option<bool>,
    vfs: Option<VfsGoal>,
    #[serde(default, deserialize_with = "driver")]
    driver: Option<DriverGoal>,
}

/// A rule for pools as it is written.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct YamlPool {
    pool: Option<PoolName>,
    name: Option<PoolName>,
    #[serde(default, deserialize_with = "word")]
    vfio: Option<VfioInterface>,
    #[serde(default, deserialize_with = "word")]
    cdi: Option<CdiMode>,
    owner: Option<YamlOwner>,
    #[serde(default, deserialize_with = "prefix")]
    numbered_prefix: Option<Numbering>,
}

/// How health is judged, as it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct YamlHealth {
    #[serde(default, deserialize_with = "on_off")]
    heartbeat: Option<bool>,
    #[serde(default, deserialize_with = "time")]
    check_interval: Option<Duration>,
    good_checks: Option<NonZeroU32>,
    falls: Option<NonZeroU32>,
    #[serde(default, deserialize_with = "time")]
    quiet: Option<Duration>,
}

/// Whose a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct YamlOwner {
    uid: Option<u32>,
    gid: Option<u32>,
    #[serde(default, deserialize_with = "mode")]
    mode: Option<u32>,
}

/// `sym;asym`, or a list of words.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

/// `true`, or `on`, which is a text in YAML 1.2.
#[derive(Deserialize)]
#[serde(untagged)]
enum Switch {
    Bool(bool),
    Text(String),
}

/// Reads a configuration file.
///
/// # Errors
///
/// [`ConfigError`].
pub fn read_config(path: &Path) -> Result<NodeConfig, ConfigError> {
    let text = read(path)?;
    let config: NodeConfig =
        serde_saphyr::from_str(&text).map_err(|error| ConfigError::Invalid {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
    if config.version == VERSION {
        Ok(config)
    } else {
        Err(ConfigError::Version {
            path: path.to_owned(),
            found: config.version,
        })
    }
}

impl NodeConfig {
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
}

impl NodeConfig {
    /// How VFs reach containers.
    ///
    /// # Errors
    ///
    /// [`PoolProblem`], when rules contradict each other or ask for what there cannot be.
    pub fn pools(&self) -> Result<PoolConfig, PoolProblem> {
        let rules = self.pools.iter().map(|rule| PoolRule {
            pool: rule.pool.clone(),
            name: rule.name.clone(),
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
}

impl NodeConfig {
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
        let falls = self.health.falls.map(NonZeroU32::get);
        Calm {
            falls: falls
                .and_then(|falls| falls.try_into().ok())
                .unwrap_or(usual.falls),
            quiet: self.health.quiet.unwrap_or(usual.quiet),
        }
    }
}

/// A time as people write it.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let time = text.map(|text| parse_time(&text).map_err(D::Error::custom));
    time.transpose()
}

/// A value whose own error says what is allowed.
fn word<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let value = text.map(|text| text.parse().map_err(D::Error::custom));
    value.transpose()
}

/// `none`, or the start of variables.
fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Numbering>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None => Ok(None),
        Some("none") => Ok(Some(Numbering::Off)),
        Some(text) => text
            .parse()
            .map(|prefix| Some(Numbering::With(prefix)))
            .map_err(D::Error::custom),
    }
}

/// A mode as people write it, in octal digits between quotes. A bare number could be either.
fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let octal = u32::from_str_radix(&text, 8)
        .ok()
        .filter(|_| !text.starts_with('+'));
    octal.map(Some).ok_or_else(|| {
        D::Error::custom(format!(
            "`{text}` is no mode; write octal digits in quotes, such as \"0660\""
        ))
    })
}

fn services<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ServiceSet>, D::Error> {
    let text = match Option::<Words>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(Words::One(text)) => text,
        Some(Words::Many(words)) => words.join(";"),
    };
    text.parse().map(Some).map_err(D::Error::custom)
}

fn on_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    match Option::<Switch>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Switch::Bool(on)) => Ok(Some(on)),
        Some(Switch::Text(text)) => match text.as_str() {
            "on" => Ok(Some(true)),
            "off" => Ok(Some(false)),
            _ => Err(D::Error::custom(format!("`{text}` is neither on nor off"))),
        },
    }
}

fn driver<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DriverGoal>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None => Ok(None),
        Some("keep") => Ok(Some(DriverGoal::Keep)),
        Some(text) => text
            .parse::<VfDriver>()
            .map(|driver| Some(DriverGoal::To(driver)))
            .map_err(|error| D::Error::custom(format!("{error}, keep"))),
    }
}
