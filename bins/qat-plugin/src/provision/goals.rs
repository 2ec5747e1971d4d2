//! What is wanted of each PF, and who says so.

use std::collections::BTreeMap;

use qat_node::config::{OldInit, read_config};
use qat_node::provision::find_pfs;
use qat_policy::Family;
use qat_policy::provision::{PfGoal, Rule, goals as goals_of};
use sysfs_pci::{PciAddress, SysfsRoot};

use super::note;
use crate::args::ProvisionArgs;
use crate::settings::SettingsError;
use qat_node::chain;

/// What is wanted of each PF.
pub(super) type Goals = BTreeMap<PciAddress, (Family, PfGoal)>;

/// Finds the PFs, and says what is wanted of each. PFs of which nothing is wanted are not in it.
///
/// # Errors
///
/// The bus cannot be listed; [`SettingsError`] with everything that is wrong with what was typed and with
/// files.
pub(super) fn goals(args: &ProvisionArgs, sysfs: &SysfsRoot) -> anyhow::Result<Goals> {
    let found = find_pfs(sysfs)?;
    let there: Vec<String> = found.iter().map(|(pf, _)| pf.to_string()).collect();
    let known = |named: &PciAddress| found.iter().any(|(pf, _)| pf == named);
    let mut problems: Vec<String> = args
        .pf
        .iter()
        .filter(|named| !known(named))
        .map(|named| {
            format!(
                "--pf: no QAT PF is at {named}; this node has: {}",
                if there.is_empty() {
                    "none".to_owned()
                } else {
                    there.join(", ")
                }
            )
        })
        .collect();
    let mut wanted = BTreeMap::new();
    match rules(args) {
        Err(problem) => problems.push(problem),
        Ok(rules) => match goals_of(&rules, args.node_name.as_deref(), &found) {
            Ok(goals) => wanted = goals,
            Err(more) => problems.extend(more.iter().map(ToString::to_string)),
        },
    }
    if !problems.is_empty() {
        let sha256 = None;
        return Err(SettingsError { problems, sha256 }.into());
    }
    Ok(found
        .into_iter()
        .filter(|(pf, _)| args.pf.is_empty() || args.pf.contains(pf))
        .filter_map(|(pf, family)| Some((pf, (family, wanted.remove(&pf)?))))
        .collect())
}

/// Who says what is wanted: a file, else what was typed, else the files of Intel's init container, else the
/// defaults.
fn rules(args: &ProvisionArgs) -> Result<Vec<Rule>, String> {
    if let Some(path) = &args.config {
        let config = read_config(path).map_err(|error| format!("--config: {}", chain(&error)))?;
        return Ok(config.rules());
    }
    let typed = Rule {
        name: "the command line".to_owned(),
        services: args.services,
        auto_reset: args.auto_reset,
        vfs: args.vfs,
        driver: args.driver,
        ..Rule::default()
    };
    let nothing = Rule {
        name: typed.name.clone(),
        ..Rule::default()
    };
    let is_old = args.init_conf.is_dir() || args.pf_ids.is_some();
    if typed != nothing || args.undo || !is_old {
        return Ok(vec![typed]);
    }
    let node = args.node_name.as_deref();
    let old = OldInit::read(&args.init_conf, node, args.pf_ids.as_deref());
    let old = old.map_err(|error| chain(&error))?;
    for warning in &old.warnings {
        note(warning);
    }
    Ok(old.rules())
}
