//! What is wanted of each PF.

use std::collections::BTreeMap;

use qat_node::provision::find_pfs;
use qat_policy::Family;
use qat_policy::provision::{PfGoal, VfDriver, VfsGoal};
use sysfs_pci::{PciAddress, SysfsRoot};

use super::args::{ProvisionArgs, WantedDriver};
use crate::settings::SettingsError;

/// What is wanted of each PF.
pub(super) type Goals = BTreeMap<PciAddress, (Family, PfGoal)>;

/// Finds the PFs, and says what is wanted of each.
///
/// # Errors
///
/// The bus cannot be listed; every PF that was named and is not there.
pub(super) fn goals(args: &ProvisionArgs, sysfs: &SysfsRoot) -> anyhow::Result<Goals> {
    let found = find_pfs(sysfs)?;
    let missing: Vec<String> = args
        .pf
        .iter()
        .filter(|named| !found.iter().any(|(pf, _)| pf == *named))
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        let there: Vec<String> = found.iter().map(|(pf, _)| pf.to_string()).collect();
        let problems = vec![format!(
            "--pf: no QAT PF is at {}; this node has: {}",
            missing.join(", "),
            if there.is_empty() {
                "none".to_owned()
            } else {
                there.join(", ")
            }
        )];
        return Err(SettingsError { problems }.into());
    }
    Ok(found
        .into_iter()
        .filter(|(pf, _)| args.pf.is_empty() || args.pf.contains(pf))
        .map(|(pf, family)| (pf, (family, goal(args, family))))
        .collect())
}

/// The goal of the flags. What a family cannot choose is not asked of it.
fn goal(args: &ProvisionArgs, family: Family) -> PfGoal {
    let chooses = family.spec().services.is_configurable();
    let WantedDriver(driver) = args.driver.unwrap_or(WantedDriver(Some(VfDriver::VfioPci)));
    PfGoal {
        services: args.services.filter(|_| chooses),
        auto_reset: args.auto_reset.filter(|_| chooses),
        vfs: args.vfs.unwrap_or(VfsGoal::All),
        driver,
        autoprobe: None,
    }
}
