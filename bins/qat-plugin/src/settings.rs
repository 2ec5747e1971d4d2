//! What the command line and the environment mean, checked in one go.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{AddrParseError, SocketAddr};
use std::num::{NonZeroUsize, ParseIntError};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use plugin_admin::LogFormat;
use qat_node::binding::{KeeperSettings, Tools};
use qat_node::config::{NodeConfig, parse_time, read_config};
use qat_node::hints::Pace;
use qat_node::pools::PoolConfig;
use qat_node::{NodeSettings, Roots, RootsError, chain};
use qat_policy::{AllocationPolicy, Family, ResourceNames, VfDrivers};
use vfio_host::{Host, VfioDrivers};

use crate::args::{Line, Places};
use crate::value::{Setting, Source};
use crate::worker;

/// Everything the daemon needs to know, validated.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What to offer, from where, to whom.
    pub(crate) node: NodeSettings,
    /// Where probes and metrics are answered, if anywhere.
    pub(crate) admin: Option<SocketAddr>,
    /// Why VFs are not bound, if they are not.
    pub(crate) unbound: Option<&'static str>,
    /// How much to log, klog's scale.
    pub(crate) verbosity: u8,
    /// How the log looks.
    pub(crate) log_format: LogFormat,
    /// What is not wrong but deserves a word in the log.
    pub(crate) warnings: Vec<String>,
}

/// Every problem of a configuration, a line each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct SettingsError {
    /// The problems, in the order of the flags.
    pub(crate) problems: Vec<String>,
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

/// Checks everything that was typed. `env` looks up an environment variable.
///
/// # Errors
///
/// [`SettingsError`] with every problem, not only the first.
pub(crate) fn resolve(
    args: Line,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, SettingsError> {
    let mut check = Check {
        env,
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let roots = check.roots(&args.places);
    let drivers = check.value(
        "-dpdk-driver",
        args.dpdk_driver,
        Some("DPDK_DRIVER"),
        VfDrivers::default(),
        parsed,
    );
    check.warn_of_uio(&drivers);
    let families = check.value(
        "-kernel-vf-drivers",
        args.kernel_vf_drivers,
        Some("KERNEL_VF_DRIVERS"),
        Family::all().iter().copied().collect(),
        kernel_vf_drivers,
    );
    let cap = check.value(
        "-max-num-devices",
        args.max_num_devices,
        Some("MAX_NUM_DEVICES"),
        None,
        cap,
    );
    let policy = check.value(
        "-allocation-policy",
        args.allocation_policy,
        None,
        AllocationPolicy::None,
        parsed,
    );
    let verbosity = check.value("-v", args.verbosity, Some("VERBOSITY"), 1, verbosity);
    let names = check.value(
        "--resource-names",
        args.resource_names,
        None,
        ResourceNames::Canonical,
        parsed,
    );
    let pace = check.value(
        "--rescan-interval",
        args.rescan_interval,
        None,
        Pace::AsNeeded,
        pace,
    );
    let manage = check.value(
        "--manage-binding",
        args.manage_binding,
        None,
        None,
        manage_binding,
    );
    let admin = check.value("--admin", args.admin, None, None, admin);
    let (pools, config) = check.config(args.config.as_deref());
    let state_dir = check.state_dir(&args.places, &roots);
    let log_format = check.value(
        "--log-format",
        args.log_format,
        None,
        LogFormat::Text,
        parsed,
    );
    let Check {
        problems, warnings, ..
    } = check;
    if !problems.is_empty() {
        return Err(SettingsError { problems });
    }
    let (binding, unbound) = match manage {
        Some(false) => (None, Some("--manage-binding is false")),
        None if vfio_host::is_read_only(&roots.sysfs) => (None, Some("sysfs is read-only")),
        _ => (keeper(&roots, &state_dir, &families, &drivers), None),
    };
    Ok(Settings {
        node: NodeSettings {
            roots,
            families,
            drivers,
            names: pools.names(names),
            pools: Arc::new(pools),
            cap,
            policy,
            pace,
            health: config.health(),
            calm: config.calm(),
            metrics: Arc::default(),
            state_dir,
            binding,
        },
        admin,
        unbound,
        verbosity,
        log_format,
        warnings,
    })
}

/// Checks where the machine is, for commands that need no more.
///
/// # Errors
///
/// [`SettingsError`].
pub(crate) fn roots(places: &Places) -> Result<Roots, SettingsError> {
    let mut check = Check {
        env: &|_| None,
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let roots = check.roots(places);
    let Check { problems, .. } = check;
    if problems.is_empty() {
        Ok(roots)
    } else {
        Err(SettingsError { problems })
    }
}

/// Collects problems and warnings while values are read.
struct Check<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Check<'_> {
    fn warn_of_uio(&mut self, drivers: &VfDrivers) {
        if let VfDrivers::Uio(driver) = drivers {
            self.warnings.push(format!(
                "VFs are handed out on `{driver}`: no IOMMU protects this node from whoever holds one; \
                 vfio-pci does"
            ));
        }
    }

    /// Reads one value: the flag, else the variable, else the default.
    fn value<T>(
        &mut self,
        flag: &'static str,
        typed: Option<String>,
        variable: Option<&'static str>,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let from_env = || {
            let name = variable?;
            let text = (self.env)(name).filter(|text| !text.is_empty())?;
            Some(Setting {
                text,
                source: Source::Variable { name, flag },
            })
        };
        let typed = typed.map(|text| Setting {
            text,
            source: Source::Flag(flag),
        });
        let Some(setting) = typed.or_else(from_env) else {
            return default;
        };
        self.checked(&setting, default, parse)
    }

    /// Reads one value that was given. Blanks around it are what a block of YAML leaves.
    fn checked<T>(
        &mut self,
        setting: &Setting,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        if let Some(key) = setting.unexpanded() {
            self.warnings.push(format!(
                "{} is the literal `{}`: the ConfigMap lacks key {key}, or the container's `env` \
                 does not name it; the default is used",
                setting.source, setting.text,
            ));
            return default;
        }
        match parse(setting.text.trim()) {
            Ok(value) => value,
            Err(why) => {
                self.problems.push(format!("{}: {why}", setting.source));
                default
            }
        }
    }

    /// The roots that were typed; what was not is in its usual place.
    fn roots(&mut self, args: &Places) -> Roots {
        let usual = Roots::default();
        let sysfs = self.path("--sysfs-root", args.sysfs_root.as_deref());
        let dev = self.path("--dev-root", args.dev_root.as_deref());
        let mut roots = Roots::new(
            sysfs.unwrap_or_else(|| usual.sysfs.path().to_path_buf()),
            dev.unwrap_or_else(|| usual.dev.path().to_path_buf()),
        );
        if let Some(debugfs) = self.path("--debugfs-root", args.debugfs_root.as_deref()) {
            roots = roots.with_debugfs(debugfs);
        }
        if let Some(kubelet) = self.path("--kubelet-dir", args.kubelet_dir.as_deref()) {
            roots = roots.with_kubelet(kubelet);
        }
        let pods = args.pod_resources_socket.as_deref();
        if let Some(socket) = self.path("--pod-resources-socket", pods) {
            roots = roots.with_pod_resources(socket);
        }
        if let Some(cdi) = self.path("--cdi-dir", args.cdi_dir.as_deref()) {
            roots = roots.with_cdi(cdi);
        }
        if let Err(error) = roots.check() {
            let flag = match error {
                RootsError::LongKubeletDir { .. } => "--kubelet-dir",
                _ => "--sysfs-root",
            };
            self.problems
                .push(format!("{flag}: {:#}", anyhow::Error::from(error)));
        }
        roots
    }

    /// The configuration file, and what it says of pools.
    fn config(&mut self, file: Option<&Path>) -> (PoolConfig, NodeConfig) {
        let Some(file) = self.path("--config", file) else {
            return Default::default();
        };
        let read = read_config(&file).map_err(|error| chain(&error));
        let read = read.and_then(|config| {
            let pools = config.pools();
            let pools = pools.map_err(|problem| format!("`{}`: {problem}", file.display()))?;
            Ok((pools, config))
        });
        read.unwrap_or_else(|why| {
            self.problems.push(format!("--config: {why}"));
            Default::default()
        })
    }

    /// Where state, records and locks are.
    fn state_dir(&mut self, places: &Places, roots: &Roots) -> PathBuf {
        self.path("--state-dir", places.state_dir.as_deref())
            .unwrap_or_else(|| roots.state_dir())
    }

    /// A path that was typed, unless it is a literal `$(NAME)`.
    fn path(&mut self, flag: &'static str, typed: Option<&Path>) -> Option<PathBuf> {
        let typed = typed?;
        let Some(text) = typed.to_str() else {
            return Some(typed.to_path_buf());
        };
        let setting = Setting {
            text: text.to_owned(),
            source: Source::Flag(flag),
        };
        self.checked(&setting, None, |text| Ok(Some(PathBuf::from(text))))
    }
}

/// What it takes to keep VFs bound.
fn keeper(
    roots: &Roots,
    state_dir: &Path,
    families: &BTreeSet<Family>,
    wanted: &VfDrivers,
) -> Option<KeeperSettings> {
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

fn manage_binding(text: &str) -> Result<Option<bool>, String> {
    match text {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

fn pace(text: &str) -> Result<Pace, String> {
    parse_time(text).map(Pace::Every)
}

fn admin(text: &str) -> Result<Option<SocketAddr>, String> {
    let address = text.parse().map(Some);
    address.map_err(|_no_address: AddrParseError| {
        format!("`{text}` is no address with a port; for example 127.0.0.1:9746, or [::]:9746 for every address")
    })
}

fn kernel_vf_drivers(text: &str) -> Result<BTreeSet<Family>, String> {
    qat_policy::parse_kernel_vf_drivers(text).map_err(|error| error.to_string())
}

fn cap(text: &str) -> Result<Option<NonZeroUsize>, String> {
    text.trim()
        .parse()
        .map(Some)
        .map_err(|_not_a_count: ParseIntError| {
            format!("`{text}` is no whole number of at least 1; leave it out to offer every VF")
        })
}

fn verbosity(text: &str) -> Result<u8, String> {
    text.trim()
        .parse()
        .map_err(|_not_a_number: ParseIntError| format!("`{text}` is no number from 0 to 255"))
}

/// A value whose own error says what is allowed.
fn parsed<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

#[cfg(test)]
mod tests;
