//! What each consumer would make of a pool's VFs as the machine is now.
//!
//! For each pool the answer is made that a container would get which asks for all VFs of it, and held against
//! [`CONSUMERS`]. Nothing is allocated, and VFs that pods hold are in it: they are somebody's answer already.

mod answer;
mod qatlib;

use std::collections::BTreeMap;

use passthrough::NumberedPrefix;
use passthrough::contract::{self, Contract, Standing, Verdict};
use qat_policy::{PoolName, Rules};
use sysfs_pci::PciAddress;

use self::answer::Machine;
pub use self::qatlib::QATLIB;
use crate::pools::{PoolConfig, PoolSettings};
use crate::{Look, Roots};

/// Everybody who is known to use QAT VFs.
pub const CONSUMERS: [Contract; 9] = [
    contract::KUBEVIRT,
    contract::KUBEVIRT_IOMMUFD,
    contract::KATA_GO,
    contract::KATA_GO_COLD,
    contract::KATA_RS,
    contract::KATA_RS_COLD,
    contract::DPDK,
    QATLIB,
    contract::NUMBERED,
];

/// What consumers make of one pool.
#[derive(Clone, Debug)]
pub struct PoolOutlook {
    /// The pool.
    pub pool: PoolName,
    /// How its VFs reach containers.
    pub settings: PoolSettings,
    /// How many VFs are offered in it.
    pub vfs: usize,
    /// VFs that no container could be given, and why.
    pub refused: Vec<(PciAddress, String)>,
    /// What each consumer makes of the answer.
    pub verdicts: Vec<Verdict>,
}

impl PoolOutlook {
    /// Whether a consumer would not get its VFs, or nobody some of them.
    #[must_use]
    pub fn fails(&self) -> bool {
        let broken = |verdict: &Verdict| verdict.standing() == Standing::Broken;
        !self.refused.is_empty() || self.verdicts.iter().any(broken)
    }
}

/// Holds what each pool would give against what `consumers` read.
///
/// It makes the calls of the re-check for each VF that is offered, and looks at the mode of each node.
#[must_use]
pub fn outlooks(
    roots: &Roots,
    rules: &Rules,
    config: &PoolConfig,
    look: &Look,
    consumers: &[Contract],
) -> Vec<PoolOutlook> {
    let mut pools: BTreeMap<&PoolName, Vec<PciAddress>> = BTreeMap::new();
    for (vf, pool) in look.inventory.offered() {
        pools.entry(pool).or_default().push(vf.address);
    }
    let machine = Machine::new(roots, rules, config);
    pools
        .into_iter()
        .map(|(pool, vfs)| machine.outlook(pool, &vfs, consumers))
        .collect()
}

/// The start of numbered variables that several pools have, with these pools. A container that asks for two of them keeps
/// one of two equal variables.
#[must_use]
pub fn shared_prefixes(outlooks: &[PoolOutlook]) -> BTreeMap<NumberedPrefix, Vec<PoolName>> {
    let mut pools: BTreeMap<NumberedPrefix, Vec<PoolName>> = BTreeMap::new();
    for outlook in outlooks {
        if let Some(prefix) = &outlook.settings.numbered_prefix {
            let pools = pools.entry(prefix.clone()).or_default();
            pools.push(outlook.pool.clone());
        }
    }
    pools.retain(|_, pools| pools.len() > 1);
    pools
}
