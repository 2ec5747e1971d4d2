//! Reading values one by one, and collecting what is wrong with them.

use std::path::{Path, PathBuf};

use qat_node::config::{Admin, ConfigText, Offer, OnNode};
use qat_node::pools::PoolConfig;
use qat_node::{Calm, Roots, RootsError, chain};
use qat_policy::VfDrivers;
use qat_policy::health::HealthRules;
use sysfs_pci::SysfsRoot;

use super::told::Told;
use crate::args::Places;
use crate::value::{Setting, Source};

/// Collects problems and warnings while values are read.
pub(super) struct Check<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) told: Vec<Told>,
    /// SHA-256 of the configuration file, once it has been read.
    pub(super) sha256: Option<String>,
}

/// One value, from wherever it may come.
pub(super) struct Value<'a, T> {
    pub(super) flag: &'static str,
    pub(super) typed: Option<&'a str>,
    pub(super) variable: Option<&'static str>,
    /// Its key in the file.
    pub(super) key: &'static str,
    /// What the file says.
    pub(super) filed: Option<T>,
    pub(super) usual: T,
}

/// What the file says of this node.
#[derive(Default)]
pub(super) struct Filed {
    pub(super) offer: Offer,
    pub(super) admin: Admin,
    pub(super) pools: PoolConfig,
    pub(super) health: HealthRules,
    pub(super) calm: Calm,
    pub(super) told: Vec<Told>,
}

impl<'a> Check<'a> {
    pub(super) fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            env,
            problems: Vec::new(),
            warnings: Vec::new(),
            told: Vec::new(),
            sha256: None,
        }
    }

    pub(super) fn warn_of_uio(&mut self, drivers: &VfDrivers) {
        if let VfDrivers::Uio(driver) = drivers {
            self.warnings.push(format!(
                "VFs are handed out on `{driver}`: no IOMMU protects this node from whoever holds one; \
                 vfio-pci does"
            ));
        }
    }

    /// Reads one value: the flag, else the variable, else the file, else the default.
    pub(super) fn value<T>(
        &mut self,
        value: Value<'_, T>,
        parse: impl Fn(&str) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> T {
        let Value {
            flag,
            typed,
            variable,
            key,
            filed,
            usual,
        } = value;
        let from_env = || {
            let name = variable?;
            let text = (self.env)(name).filter(|text| !text.is_empty())?;
            Some(Setting {
                text,
                source: Source::Variable { name, flag },
            })
        };
        let typed = typed.map(|text| Setting {
            text: text.to_owned(),
            source: Source::Flag(flag),
        });
        let (otherwise, from) = match filed {
            Some(value) => (value, "file"),
            None => (usual, "default"),
        };
        let setting = typed.or_else(from_env);
        let (value, from) = match setting.and_then(|setting| self.checked(&setting, &parse)) {
            Some((value, source)) => (value, source.to_string()),
            None => (otherwise, from.to_owned()),
        };
        self.told.push(Told::new(key, show(&value), from));
        value
    }

    /// Reads one value that was given; none if it stands for nothing or is wrong, which is noted. Blanks around it are what a
    /// block of YAML leaves.
    fn checked<T>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<(T, Source)> {
        if let Some(key) = setting.unexpanded() {
            self.warnings.push(format!(
                "{} is the literal `{}`: the ConfigMap lacks key {key}, or the container's `env` \
                 does not name it; it is taken as not given",
                setting.source, setting.text,
            ));
            return None;
        }
        match parse(setting.text.trim()) {
            Ok(value) => Some((value, setting.source)),
            Err(why) => {
                self.problems.push(format!("{}: {why}", setting.source));
                None
            }
        }
    }

    /// The roots that were typed; what was not is in its usual place.
    pub(super) fn roots(&mut self, args: &Places) -> Roots {
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

    /// What the configuration file says of this node, which has the hardware that `sysfs` shows.
    pub(super) fn file(
        &mut self,
        file: Option<&Path>,
        name: Option<String>,
        sysfs: &SysfsRoot,
    ) -> Filed {
        let Some(file) = file else {
            return filed(&OnNode::default()).unwrap_or_default();
        };
        let read = ConfigText::read(file).map_err(|error| chain(&error));
        let read = read.and_then(|text| {
            self.sha256 = Some(text.sha256());
            text.parse().map_err(|error| chain(&error))
        });
        let read = read.and_then(|config| {
            if config.names_nodes() && name.is_none() {
                self.warnings.push(format!(
                    "`{}` names nodes, and NODE_NAME does not say which this is, so it is none of them; set it from \
                     `fieldRef: spec.nodeName`",
                    file.display()
                ));
            }
            let told = config.on_this_machine(name, sysfs);
            filed(&told).map_err(|why| format!("`{}`: {why}", file.display()))
        });
        read.unwrap_or_else(|why| {
            self.problems.push(format!("--config: {why}"));
            Filed::default()
        })
    }

    /// A path that was typed, unless it is a literal `$(NAME)`.
    pub(super) fn path(&mut self, flag: &'static str, typed: Option<&Path>) -> Option<PathBuf> {
        let typed = typed?;
        let Some(text) = typed.to_str() else {
            return Some(typed.to_path_buf());
        };
        let setting = Setting {
            text: text.to_owned(),
            source: Source::Flag(flag),
        };
        let read = self.checked(&setting, |text| Ok(PathBuf::from(text)));
        read.map(|(path, _)| path)
    }
}

fn filed(told: &OnNode) -> Result<Filed, String> {
    let pools = told.pools().map_err(|problem| problem.to_string())?;
    let (health, calm) = (told.health(), told.calm());
    let on = if health.heartbeat { "on" } else { "off" };
    let values = [
        ("health.heartbeat", on.to_owned()),
        (
            "health.checkInterval",
            format!("{:?}", health.check_interval),
        ),
        ("health.goodChecks", health.good_checks.to_string()),
        ("health.falls", calm.falls.to_string()),
        ("health.quiet", format!("{:?}", calm.quiet)),
    ];
    let typed = told.typed_health_keys();
    let values = values.map(|(key, value)| {
        let filed = key
            .strip_prefix("health.")
            .is_some_and(|key| typed.contains(&key));
        Told::new(
            key,
            value,
            if filed { "file" } else { "default" }.to_owned(),
        )
    });
    Ok(Filed {
        offer: told.offer.clone(),
        admin: told.admin,
        pools,
        health,
        calm,
        told: values.into(),
    })
}
