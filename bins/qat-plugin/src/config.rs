//! The command `config`: looks at a configuration without a machine.

use std::fmt::Write as _;
use std::path::Path;

use qat_node::config::{ThisNode, read_config};
use qat_node::pools::PoolSettings;
use qat_policy::PoolName;

use crate::settings::Settings;

/// What there is to say of a file that can be used.
///
/// # Errors
///
/// What is wrong with it, with line and column where there are some.
pub(crate) fn check(file: &Path) -> anyhow::Result<String> {
    let config = read_config(file)?;
    let elsewhere = config.on(&ThisNode::default());
    let pools = elsewhere.pools()?;
    let (named, rules) = (pools.named().count(), config.rules().len());
    let health = elsewhere.health();
    Ok(format!(
        "`{}`: fine\n  pools with rules of their own: {named}\n  provisioning rules: {rules}\n  heartbeats: {}\n",
        file.display(),
        if health.heartbeat {
            "checked"
        } else {
            "not checked"
        },
    ))
}

/// What holds, and where each value is from.
pub(crate) fn show(settings: &Settings) -> String {
    let mut text = String::new();
    let width = |texts: &mut dyn Iterator<Item = &str>| texts.map(str::len).max().unwrap_or(0);
    let keys = width(&mut settings.told.iter().map(|told| told.key));
    let origins = width(&mut settings.told.iter().map(|told| told.from.as_str()));
    for told in &settings.told {
        let _infallible = writeln!(
            text,
            "{:keys$}  {:origins$}  {}",
            told.key, told.from, told.value
        );
    }
    let pools = &settings.wishes.pools;
    let mut pool = |title: String, name: &PoolName| {
        let PoolSettings {
            interface,
            cdi,
            policy,
            topology,
            numbered_prefix,
            ..
        } = pools.of(name);
        let prefix = numbered_prefix.map_or("none".to_owned(), |prefix| prefix.to_string());
        let topology = if topology { "on" } else { "off" };
        let _infallible = writeln!(
            text,
            "{title}: vfio {interface}, cdi {cdi}, allocationPolicy {policy}, topology {topology}, numberedPrefix {prefix}"
        );
    };
    let selected = pools.selected();
    for name in pools.named() {
        let select = selected.iter().find(|(_, taken)| taken == name);
        let of = select.map_or_else(String::new, |(selector, _)| format!(" ({selector})"));
        pool(format!("pool {name}{of}"), name);
    }
    pool("every other pool".to_owned(), &PoolName::generic());
    text
}
