//! The sections of the YAML file, as they are written. What stands here is the reference: the JSON schema and
//! `docs/configuration.md` are made of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use passthrough::VfioInterface;
use plugin_admin::LogFormat;
use qat_policy::provision::{DriverGoal, VfsGoal};
use qat_policy::{
    AllocationPolicy, Family, PoolName, ResourceNames, ServiceSet, VfDrivers, VfRange,
};
use serde::Deserialize;
use sysfs_pci::{NumaNode, PciAddress};

use super::values::{
    driver, mode, numa_node, on_off, prefix, scalar, services, several, several_if, time, word,
};
use crate::pools::{CdiMode, Numbering};

/// What is wanted of PFs by `qat-plugin provision`. Of rules that speak of one PF the closest has its say on each matter: `pf`
/// before `family` before neither, and of equals the one with `nodes`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "provisioning rule"))]
pub(super) struct YamlRule {
    /// Only on nodes with these names; `*` and `?` stand for any text and any character.
    #[serde(default, deserialize_with = "several")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Words<String>>"))]
    pub(super) nodes: Vec<String>,
    /// Only PFs of this family: `c62x`, `4xxx`, `420xx` and so on.
    #[cfg_attr(test, schemars(with = "Option<super::schema::FamilyName>"))]
    pub(super) family: Option<Family>,
    /// Only the PF at this address, such as `0000:6b:00.0`.
    #[cfg_attr(test, schemars(with = "Option<super::schema::Address>"))]
    pub(super) pf: Option<PciAddress>,
    /// What the PFs are configured for: `sym;asym`, or a list of words. As they are by default.
    #[serde(default, deserialize_with = "services")]
    #[cfg_attr(
        test,
        schemars(with = "Option<super::schema::Words<super::schema::ServiceNames>>")
    )]
    pub(super) services: Option<ServiceSet>,
    /// Whether PFs reset themselves after a fatal error. As it is by default.
    #[serde(default, deserialize_with = "on_off")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Switch>"))]
    pub(super) auto_reset: Option<bool>,
    /// Which VFs the PFs have: `all` (the default), `none`, or `keep` as it is.
    #[cfg_attr(test, schemars(with = "Option<super::schema::Vfs>"))]
    pub(super) vfs: Option<VfsGoal>,
    /// What VFs are bound to: `vfio-pci` (the default), a variant driver, or `keep` as they are.
    #[serde(default, deserialize_with = "driver")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::BindDriver>"))]
    pub(super) driver: Option<DriverGoal>,
}

/// A rule for pools. With `pool` it is for the pool that services give this name, with `select` it makes a pool of some VFs, with
/// neither it is for every pool; a closer rule wins, key by key.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "pool rule"))]
pub(super) struct YamlPool {
    /// Only on nodes with these names; `*` and `?` stand for any text and any character.
    #[serde(default, deserialize_with = "several")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Words<String>>"))]
    pub(super) nodes: Vec<String>,
    /// Only on nodes that have QAT functions of one of these families: `c62x`, `4xxx`, `420xx` and so on.
    #[serde(default, deserialize_with = "several")]
    #[cfg_attr(
        test,
        schemars(with = "Option<super::schema::Words<super::schema::FamilyName>>")
    )]
    pub(super) hardware: BTreeSet<Family>,
    /// The pool that VFs with these services are in: `cy`, `dc`, `sym-dc`, `generic` and so on.
    #[cfg_attr(test, schemars(with = "Option<super::schema::Name>"))]
    pub(super) pool: Option<PoolName>,
    /// The VFs of a pool of their own. The first rule that takes a VF has it; VFs that none takes are named by their services.
    pub(super) select: Option<YamlSelect>,
    /// What the pool is called: pods ask for `qat.intel.com/<name>`.
    #[cfg_attr(test, schemars(with = "Option<super::schema::Name>"))]
    pub(super) name: Option<PoolName>,
    /// The nodes that a container gets: `group` (the default), `cdev`, `both`, `none`.
    #[serde(default, deserialize_with = "word")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Interface>"))]
    pub(super) vfio: Option<VfioInterface>,
    /// How much of CDI there is: `off` (the default), `spec` for a file, `field` for the file and its names in the answer.
    #[serde(default, deserialize_with = "word")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Cdi>"))]
    pub(super) cdi: Option<CdiMode>,
    /// Whose the VF's node is in the container; takes `cdi: field`.
    pub(super) owner: Option<YamlOwner>,
    /// Start of the numbered variables: `QAT` by default, for `QAT0`, `QAT1`; `none` for no such variables.
    #[serde(default, deserialize_with = "prefix")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub(super) numbered_prefix: Option<Numbering>,
    /// Which free VFs a pod gets first; as `offer.allocationPolicy` by default.
    #[serde(default, deserialize_with = "word")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Policy>"))]
    pub(super) allocation_policy: Option<AllocationPolicy>,
    /// Whether the kubelet hears at which NUMA node each VF is, for its topology manager. On by default.
    #[serde(default, deserialize_with = "on_off")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Switch>"))]
    pub(super) topology: Option<bool>,
}

/// Which VFs. Every condition must hold.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "selector"))]
pub(super) struct YamlSelect {
    /// VFs of this family: `c62x`, `4xxx`, `420xx` and so on.
    #[cfg_attr(test, schemars(with = "Option<super::schema::FamilyName>"))]
    pub(super) family: Option<Family>,
    /// VFs of the PF at this address, or of these PFs.
    #[serde(default, deserialize_with = "several")]
    #[cfg_attr(
        test,
        schemars(with = "Option<super::schema::Words<super::schema::Address>>")
    )]
    pub(super) pf: BTreeSet<PciAddress>,
    /// VFs with these numbers on their PF, from 0: `0-7`, or one number.
    #[serde(default, deserialize_with = "scalar")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Scalar>"))]
    pub(super) vfs: Option<VfRange>,
    /// VFs at this NUMA node.
    #[serde(default, deserialize_with = "numa_node")]
    #[cfg_attr(test, schemars(with = "Option<u32>"))]
    pub(super) numa_node: Option<NumaNode>,
    /// VFs whose PF is configured for exactly these services: `sym;asym`, or a list of words.
    #[serde(default, deserialize_with = "services")]
    #[cfg_attr(
        test,
        schemars(with = "Option<super::schema::Words<super::schema::ServiceNames>>")
    )]
    pub(super) services: Option<ServiceSet>,
}

/// Whose a node is in a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "owner"))]
pub(super) struct YamlOwner {
    /// The user, by number.
    pub(super) uid: Option<u32>,
    /// The group, by number. KubeVirt's QEMU has 107.
    pub(super) gid: Option<u32>,
    /// The mode, in octal digits between quotes: `"0660"`.
    #[serde(default, deserialize_with = "mode")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::FileMode>"))]
    pub(super) mode: Option<u32>,
}

/// How health is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "health"))]
pub(super) struct YamlHealth {
    /// Whether heartbeats of PFs are checked. On by default; off where another program makes the checks.
    #[serde(default, deserialize_with = "on_off")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Switch>"))]
    pub(super) heartbeat: Option<bool>,
    /// No PF is checked more often: `2s` by default, and twice the driver's own period at least.
    #[serde(default, deserialize_with = "time")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Time>"))]
    pub(super) check_interval: Option<Duration>,
    /// A sick PF is well after so many good checks in a row: 3 by default.
    pub(super) good_checks: Option<NonZeroU32>,
    /// A VF that became Unhealthy so often within `quiet` is kept back: 3 by default.
    pub(super) falls: Option<NonZeroU32>,
    /// For how long such a VF has to be well: `1m` by default.
    #[serde(default, deserialize_with = "time")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Time>"))]
    pub(super) quiet: Option<Duration>,
}

/// What is offered. Each key stands for a flag, which wins over it, as does the flag's environment variable.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "offer"))]
pub struct Offer {
    /// The families whose VFs are offered: `c62x`, `4xxx`, `420xx` and so on; every one by default. Flag `-kernel-vf-drivers`, which
    /// names them by their kernel VF drivers. Takes a restart.
    #[serde(default, deserialize_with = "several_if")]
    #[cfg_attr(
        test,
        schemars(with = "Option<super::schema::Words<super::schema::FamilyName>>")
    )]
    pub families: Option<BTreeSet<Family>>,
    /// The driver that VFs must be bound to: `vfio-pci` (the default) or `igb_uio`. Flag `-dpdk-driver`. Takes a restart.
    #[serde(default, deserialize_with = "word")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::AcceptedDriver>"))]
    pub driver: Option<VfDrivers>,
    /// At most so many VFs are offered on a node; all by default. Flag `-max-num-devices`.
    pub max_devices: Option<NonZeroUsize>,
    /// Which free VFs a pod gets first: `none` (lowest addresses, the default), `packed`, `balanced`. Flag `-allocation-policy`.
    #[serde(default, deserialize_with = "word")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Policy>"))]
    pub allocation_policy: Option<AllocationPolicy>,
    /// How services are spelled in names of resources: `canonical` (the default) or `as-read`. Flag `--resource-names`.
    #[serde(default, deserialize_with = "word")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Spelling>"))]
    pub resource_names: Option<ResourceNames>,
    /// Whether VFs that are not bound are bound, and kept so; on by default, unless `/sys` is read-only. Flag `--manage-binding`. Takes
    /// a restart.
    #[serde(default, deserialize_with = "on_off")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Switch>"))]
    pub manage_binding: Option<bool>,
    /// The machine is looked at so often at least, such as `30s`; as needed by default. Flag `--rescan-interval`. Takes a restart.
    #[serde(default, deserialize_with = "time")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Time>"))]
    pub rescan_interval: Option<Duration>,
}

/// How the plugin tells of itself. Each key stands for a flag, which wins over it. All take a restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "admin"))]
pub struct Admin {
    /// Address for `/metrics`, `/healthz` and `/readyz`, such as `127.0.0.1:9746`; none by default. Flag `--admin`.
    #[serde(default, deserialize_with = "word")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub listen: Option<SocketAddr>,
    /// Format of the log: `text` (the default) or `json`. Flag `--log-format`.
    #[serde(default, deserialize_with = "word")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Format>"))]
    pub log_format: Option<LogFormat>,
    /// How much is logged: 0 and 1 info (1 is the default), 2 and 3 debug, 4 and more trace. Flag `-v`.
    pub verbosity: Option<u8>,
}

/// What is otherwise on some nodes, chosen by their names, their hardware or both. What it does not say is as it is elsewhere; of
/// several the last wins.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(
    test,
    schemars(
        rename = "override",
        extend("anyOf" = [{ "required": ["nodes"] }, { "required": ["hardware"] }])
    )
)]
pub(super) struct YamlOverride {
    /// On nodes with these names; `*` and `?` stand for any text and any character.
    #[serde(default, deserialize_with = "several")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Words<String>>"))]
    pub(super) nodes: Vec<String>,
    /// On nodes that have QAT functions of one of these families: `c62x`, `4xxx`, `420xx` and so on.
    #[serde(default, deserialize_with = "several")]
    #[cfg_attr(
        test,
        schemars(with = "Option<super::schema::Words<super::schema::FamilyName>>")
    )]
    pub(super) hardware: BTreeSet<Family>,
    /// What is offered.
    #[serde(default)]
    pub(super) offer: Offer,
    /// How health is judged.
    #[serde(default)]
    pub(super) health: YamlHealth,
    /// How the plugin tells of itself.
    #[serde(default)]
    pub(super) admin: Admin,
}

/// Takes from `more` what it says.
macro_rules! overlay {
    ($name:ident: $($field:ident),+) => {
        impl $name {
            pub(super) fn overlay(&mut self, more: &Self) {
                $(if more.$field.is_some() {
                    self.$field.clone_from(&more.$field);
                })+
            }
        }
    };
}

overlay!(Offer: families, driver, max_devices, allocation_policy, resource_names, manage_binding, rescan_interval);
overlay!(YamlHealth: heartbeat, check_interval, good_checks, falls, quiet);
overlay!(Admin: listen, log_format, verbosity);
