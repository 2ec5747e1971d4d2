//! What the command line, the environment and the configuration file mean, checked in one go.

mod check;
mod parse;
mod told;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_admin::LogFormat;
use qat_node::binding::{KeeperSettings, Tools};
use qat_node::config::{Admin, Offer};
use qat_node::hints::Pace;
use qat_node::pools::PoolConfig;
use qat_node::{NodeSettings, Roots, Wishes};
use qat_policy::{AllocationPolicy, Family, ResourceNames, Rules, VfDrivers};
use tokio::sync::watch;
use vfio_host::{Host, VfioDrivers};

use self::check::{Check, Value};
pub(crate) use self::told::Told;
use crate::args::{Line, Places};
use crate::worker;

/// Everything the daemon needs to know, validated.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where the machine and the kubelet are.
    pub(crate) roots: Roots,
    /// What may change while the daemon runs.
    pub(crate) wishes: Wishes,
    /// How often to look without a hint.
    pub(crate) pace: Pace,
    /// Where locks and records are.
    pub(crate) state_dir: PathBuf,
    /// What it takes to keep VFs bound; none: nothing is bound.
    pub(crate) binding: Option<KeeperSettings>,
    /// Where labels for Node Feature Discovery are written, if anywhere.
    pub(crate) labels: Option<PathBuf>,
    /// Where probes and metrics are answered, if anywhere.
    pub(crate) admin: Option<SocketAddr>,
    /// Why VFs are not bound, if they are not.
    pub(crate) unbound: Option<&'static str>,
    /// How much to log, klog's scale.
    pub(crate) verbosity: u8,
    /// How the log looks.
    pub(crate) log_format: LogFormat,
    /// The configuration file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// Its SHA-256.
    pub(crate) sha256: Option<String>,
    /// Each value and where it is from.
    pub(crate) told: Vec<Told>,
    /// What is not wrong but deserves a word in the log.
    pub(crate) warnings: Vec<String>,
}

/// Every problem of a configuration, a line each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct SettingsError {
    /// The problems, in the order of the flags.
    pub(crate) problems: Vec<String>,
    /// SHA-256 of the configuration file, if it could be read.
    pub(crate) sha256: Option<String>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is wrong")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        write!(
            f,
            "\nnothing was touched; `qat-plugin --help` lists every flag"
        )
    }
}

impl Settings {
    /// What a node is served with that may change its wishes.
    pub(crate) fn node(self, wishes: watch::Receiver<Arc<Wishes>>) -> NodeSettings {
        NodeSettings {
            roots: self.roots,
            wishes,
            pace: self.pace,
            metrics: Arc::default(),
            state_dir: self.state_dir,
            binding: self.binding,
            labels: self.labels,
        }
    }
}

/// Checks everything that was typed. `env` looks up an environment variable.
///
/// # Errors
///
/// [`SettingsError`] with every problem, not only the first.
pub(crate) fn resolve(
    args: &Line,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, SettingsError> {
    let mut check = Check::new(env);
    let roots = check.roots(&args.places);
    let file = check.path("--config", args.config.as_deref());
    let node = env("NODE_NAME").filter(|name| !name.is_empty());
    let filed = check.file(file.as_deref(), node, &roots.sysfs);
    let rules = check.rules(args, &filed.offer, &filed.pools);
    let policy = check.value(
        Value {
            flag: "-allocation-policy",
            typed: args.allocation_policy.as_deref(),
            variable: None,
            key: "offer.allocationPolicy",
            filed: filed.offer.allocation_policy,
            usual: AllocationPolicy::None,
        },
        parse::any,
        ToString::to_string,
    );
    let pace = check.value(
        Value {
            flag: "--rescan-interval",
            typed: args.rescan_interval.as_deref(),
            variable: None,
            key: "offer.rescanInterval",
            filed: filed.offer.rescan_interval.map(Pace::Every),
            usual: Pace::AsNeeded,
        },
        parse::pace,
        |pace| match pace {
            Pace::Every(time) => format!("{time:?}"),
            Pace::AsNeeded => "as needed".to_owned(),
        },
    );
    let manage = check.value(
        Value {
            flag: "--manage-binding",
            typed: args.manage_binding.as_deref(),
            variable: None,
            key: "offer.manageBinding",
            filed: filed.offer.manage_binding.map(Some),
            usual: None,
        },
        parse::manage_binding,
        |manage| manage.map_or("unless /sys is read-only".to_owned(), |on| on.to_string()),
    );
    let (admin, log_format, verbosity) = check.admin(args, &filed.admin);
    let state_dir = check.path("--state-dir", args.places.state_dir.as_deref());
    let state_dir = state_dir.unwrap_or_else(|| roots.state_dir());
    let labels = check.path("--nfd-file", args.places.nfd_file.as_deref());
    check.told.extend(filed.told);
    let Check {
        problems,
        warnings,
        told,
        sha256,
        ..
    } = check;
    if !problems.is_empty() {
        return Err(SettingsError { problems, sha256 });
    }
    let (binding, unbound) = match manage {
        Some(false) => (None, Some("--manage-binding is false")),
        None if vfio_host::is_read_only(&roots.sysfs) => (None, Some("sysfs is read-only")),
        _ => (keeper(&roots, &state_dir, &rules), None),
    };
    Ok(Settings {
        roots,
        wishes: Wishes {
            rules,
            pools: Arc::new(filed.pools.with_policy(policy)),
            health: filed.health,
            calm: filed.calm,
            file: None,
        },
        pace,
        state_dir,
        binding,
        labels,
        admin,
        unbound,
        verbosity,
        log_format,
        file,
        sha256,
        told,
        warnings,
    })
}

impl Check<'_> {
    /// Which VFs are offered, and as what.
    fn rules(&mut self, args: &Line, offer: &Offer, pools: &PoolConfig) -> Rules {
        let drivers = self.value(
            Value {
                flag: "-dpdk-driver",
                typed: args.dpdk_driver.as_deref(),
                variable: Some("DPDK_DRIVER"),
                key: "offer.driver",
                filed: offer.driver.clone(),
                usual: VfDrivers::default(),
            },
            parse::any,
            ToString::to_string,
        );
        self.warn_of_uio(&drivers);
        let families = self.value(
            Value {
                flag: "-kernel-vf-drivers",
                typed: args.kernel_vf_drivers.as_deref(),
                variable: Some("KERNEL_VF_DRIVERS"),
                key: "offer.families",
                filed: offer.families.clone(),
                usual: Family::all().iter().copied().collect(),
            },
            parse::kernel_vf_drivers,
            |families| {
                let names = families.iter().map(|family| family.spec().name);
                names.collect::<Vec<_>>().join(",")
            },
        );
        let cap = self.value(
            Value {
                flag: "-max-num-devices",
                typed: args.max_num_devices.as_deref(),
                variable: Some("MAX_NUM_DEVICES"),
                key: "offer.maxDevices",
                filed: offer.max_devices.map(Some),
                usual: None,
            },
            parse::cap,
            |cap| cap.map_or("all".to_owned(), |cap| cap.to_string()),
        );
        let spelling = self.value(
            Value {
                flag: "--resource-names",
                typed: args.resource_names.as_deref(),
                variable: None,
                key: "offer.resourceNames",
                filed: offer.resource_names,
                usual: ResourceNames::Canonical,
            },
            parse::any,
            ToString::to_string,
        );
        Rules {
            families,
            names: pools.names(spelling),
            drivers,
            cap,
        }
    }

    /// How the daemon tells of itself.
    fn admin(&mut self, args: &Line, filed: &Admin) -> (Option<SocketAddr>, LogFormat, u8) {
        let listen = self.value(
            Value {
                flag: "--admin",
                typed: args.admin.as_deref(),
                variable: None,
                key: "admin.listen",
                filed: filed.listen.map(Some),
                usual: None,
            },
            parse::admin,
            |address| address.map_or("nowhere".to_owned(), |address| address.to_string()),
        );
        let format = self.value(
            Value {
                flag: "--log-format",
                typed: args.log_format.as_deref(),
                variable: None,
                key: "admin.logFormat",
                filed: filed.log_format,
                usual: LogFormat::Text,
            },
            parse::any,
            ToString::to_string,
        );
        let verbosity = self.value(
            Value {
                flag: "-v",
                typed: args.verbosity.as_deref(),
                variable: Some("VERBOSITY"),
                key: "admin.verbosity",
                filed: filed.verbosity,
                usual: 1,
            },
            parse::verbosity,
            ToString::to_string,
        );
        (listen, format, verbosity)
    }
}

/// Checks where the machine is, for commands that need no more.
///
/// # Errors
///
/// [`SettingsError`].
pub(crate) fn roots(places: &Places) -> Result<Roots, SettingsError> {
    let mut check = Check::new(&|_| None);
    let roots = check.roots(places);
    let Check {
        problems, sha256, ..
    } = check;
    if problems.is_empty() {
        Ok(roots)
    } else {
        Err(SettingsError { problems, sha256 })
    }
}

/// What it takes to keep VFs bound.
fn keeper(roots: &Roots, state_dir: &Path, rules: &Rules) -> Option<KeeperSettings> {
    let wanted: &VfDrivers = &rules.drivers;
    let families: &BTreeSet<Family> = &rules.families;
    let host = Host {
        sysfs: roots.sysfs.clone(),
        dev: roots.dev.clone(),
        drivers: wanted.vfio(),
    };
    let tools = Tools {
        host,
        state_dir: state_dir.to_path_buf(),
        workers: worker::command(&roots.sysfs),
    };
    let driver = match wanted {
        // The default has `vfio-pci`.
        VfDrivers::Vfio(_) => VfioDrivers::default().iter().next()?.clone(),
        VfDrivers::Uio(driver) => driver.clone(),
    };
    Some(KeeperSettings {
        rules: qat_policy::bind_rules(families, &driver),
        tools,
    })
}

#[cfg(test)]
mod tests;
