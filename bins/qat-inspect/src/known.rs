//! What the plugin of this node knows and nobody can read from the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Error;
use qat_node::memory::Memory;
use qat_node::{Look, Looker, Verdict};
use qat_policy::Standing;
use qat_policy::health::Sickness;
use sysfs_pci::{PciAddress, ScanError};

use crate::finding::{Finding, Kind};

/// What its `state.json` says, if there is one of this boot.
pub(crate) struct Known {
    memory: Option<Memory>,
    /// What is wrong with the file.
    trouble: Option<String>,
}

impl Known {
    /// Reads the file. One that is not there, or of another boot, says nothing: no plugin runs here, or it keeps none.
    pub(crate) fn read(state_dir: &Path, boot: &str) -> Self {
        let (memory, trouble) = match Memory::read(state_dir) {
            Ok(memory) => (memory.filter(|memory| memory.is_of(boot)), None),
            Err(error) => (None, Some(format!("{:#}", Error::from(error)))),
        };
        Self { memory, trouble }
    }

    /// Looks at the machine with what the plugin knows.
    pub(crate) fn look(&self, looker: &mut Looker) -> Result<Look, ScanError> {
        looker.tell(self.sick());
        looker.look(&self.advertised())
    }

    /// All of it.
    pub(crate) fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }

    /// What the plugin says is wrong with VFs that look well.
    pub(crate) fn findings(&self, look: &Look) -> Vec<Finding> {
        let pools = self.memory.iter().flat_map(|memory| &memory.pools);
        let vfs = pools.flat_map(|(_, vfs)| vfs);
        let findings = vfs.filter_map(|(address, vf)| {
            let Verdict::Unhealthy { code, reason } = &vf.verdict else {
                return None;
            };
            let seen = look.inventory.vfs.get(address);
            let withheld = seen.is_some_and(|vf| matches!(vf.standing, Standing::Withheld(_)));
            (!withheld).then(|| {
                let text = format!("the plugin says: {reason}");
                Finding::new(Kind::Vf, address.to_string(), code.clone(), text)
            })
        });
        findings.collect()
    }

    /// What the plugin says is wrong with its configuration file.
    pub(crate) fn configuration(&self) -> Vec<Finding> {
        let Some(status) = self.memory.as_ref().and_then(|one| one.config.as_ref()) else {
            return Vec::new();
        };
        let path = status.path.display().to_string();
        let finding = |code, text| Finding::new(Kind::Machine, path.clone(), code, text);
        let refused = status
            .refused
            .as_ref()
            .map(|refused| finding("config-refused", refused.error.clone()));
        let keys: Vec<&str> = status.restart_required.iter().map(String::as_str).collect();
        let restart = (!keys.is_empty()).then(|| {
            let text = format!("a restart is required to apply: {}", keys.join(", "));
            finding("config-restart-required", text)
        });
        refused.into_iter().chain(restart).collect()
    }

    /// What is wrong with the file, for people.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.as_ref()?;
        Some(format!("what the plugin knows is left out: {trouble}"))
    }

    fn sick(&self) -> BTreeMap<PciAddress, Sickness> {
        let pfs = self.memory.iter().flat_map(|memory| &memory.pfs);
        pfs.filter_map(|(pf, memory)| Some((*pf, memory.sick?)))
            .collect()
    }

    fn advertised(&self) -> BTreeSet<PciAddress> {
        let pools = self.memory.iter().flat_map(|memory| memory.pools.values());
        pools.flat_map(BTreeMap::keys).copied().collect()
    }
}
