//! What is remembered over a restart, and told to `qat-inspect`: `state.json` in the state directory.
//!
//! The file says what the daemon knows and nobody can read from the machine: its verdicts and since when they hold, the
//! last readings of each PF, what was handed out a moment ago and with which nodes, which VFs are open although no pod
//! holds them. It is written whole, beside and then renamed, when something in it changes. It is not synced: what a
//! crash of the machine loses is worth nothing after it, as a boot id in the file makes sure.
//!
//! A daemon that starts reads it once. So a VF that was advertised and lost its driver meanwhile stays in its
//! pool, Unhealthy with its reason; a PF that was broken is not taken for well; a VF that was handed out a moment before
//! is not offered as something else; and a container that starts once more is told if its VF has another node now.

mod clock;
mod scribe;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use qat_policy::health::{Sickness, Vitals};
use qat_policy::{PoolName, Reason, Standing};
use serde::{Deserialize, Serialize};
use sysfs_pci::{NumaNode, PciAddress};
use thiserror::Error;
use tokio::time::Instant;
use vfio_host::bind::Claim;
use vfio_host::{StateError, boot_id};

pub use self::clock::Clock;
pub(crate) use self::scribe::{LOCK, Scribe};
use crate::config::ConfigStatus;
use crate::leaks::Leak;
use crate::state::MOVES;
use crate::{Advertised, Ledger, Look, NodeState, Verdict};

/// The file in the state directory.
pub const FILE: &str = "state.json";

/// The version of the form.
const VERSION: u32 = 1;

/// No state of a node is longer.
const LONGEST: u64 = 16 << 20;

/// What `state.json` says. Times are seconds since the epoch.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// The version of the form: 1.
    pub version: u32,
    /// The boot of the machine that this is about (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// When this was written.
    pub written: u64,
    /// Whether the kernel's events arrive.
    pub hearing: bool,
    /// Which version of the configuration file is in force; `None` without a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigStatus>,
    /// The VFs of each pool that the kubelet was told of.
    pub pools: BTreeMap<PoolName, BTreeMap<PciAddress, VfMemory>>,
    /// VFs that left one pool and enter another at the next scan.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub entering: BTreeSet<PciAddress>,
    /// The PFs that run.
    pub pfs: BTreeMap<PciAddress, PfMemory>,
    /// VFs that were handed out a moment ago.
    pub answers: BTreeMap<PciAddress, AnswerMemory>,
    /// The nodes on the host with which VFs were handed out last.
    pub given: BTreeMap<PciAddress, Vec<PathBuf>>,
    /// VFs that are open although no pod holds them.
    pub leaks: BTreeMap<PciAddress, LeakMemory>,
}

/// A VF that the kubelet was told of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VfMemory {
    /// What was said of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Since when.
    pub since: u64,
    /// Its PF; none in a guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pf: Option<PciAddress>,
    /// Its NUMA node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numa_node: Option<NumaNode>,
}

/// A PF that runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PfMemory {
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sick: Option<Sickness>,
    /// Since when it is so, sick or well.
    pub since: u64,
    /// How many checks in a row were refused.
    pub refused: u32,
    /// The last reading.
    pub vitals: Vitals,
}

/// A VF that was handed out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerMemory {
    /// From which pool.
    pub pool: PoolName,
    /// When.
    pub at: u64,
}

/// A VF that is open although no pod holds it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeakMemory {
    /// Since when that is known.
    pub since: u64,
    /// Who held it last, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_holder: Option<String>,
}

/// Why `state.json` cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Directory(#[from] StateError),
    /// A call of the system failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another plugin of this node writes the state.
    #[error("another process writes the state of this node (it has the lock `{}`); only one plugin may serve a node", path.display())]
    Elsewhere {
        /// The lock.
        path: PathBuf,
    },
    /// It does not hold what it should.
    #[error("`{}` is not what a qat-plugin writes; remove it, and the next change writes it anew", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// Another version of the plugin has written it.
    #[error("`{}` has version {found}, and this program reads version {VERSION}; use the qat-inspect of the plugin that runs", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// What every version has.
#[derive(Deserialize)]
struct AnyVersion {
    version: u32,
}

impl Memory {
    /// Reads the file of a state directory; `None` if there is none. Nothing is made or changed.
    ///
    /// # Errors
    ///
    /// [`MemoryError`], when there is one and it cannot be used.
    pub fn read(state_dir: &Path) -> Result<Option<Self>, MemoryError> {
        let path = state_dir.join(FILE);
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                let action = "read";
                return Err(MemoryError::Io {
                    action,
                    path,
                    source,
                });
            }
        }
        let AnyVersion { version: found } = match serde_json::from_str(&text) {
            Ok(version) => version,
            Err(source) => return Err(MemoryError::Invalid { path, source }),
        };
        if found != VERSION {
            return Err(MemoryError::Version { path, found });
        }
        match serde_json::from_str(&text) {
            Ok(memory) => Ok(Some(memory)),
            Err(source) => Err(MemoryError::Invalid { path, source }),
        }
    }

    /// Whether it is about the boot that runs. Devices of another boot are other devices.
    #[must_use]
    pub fn is_of_this_boot(&self) -> bool {
        boot_id().is_ok_and(|boot| self.is_of(&boot))
    }

    /// Whether it is about this boot.
    #[must_use]
    pub fn is_of(&self, boot: &str) -> bool {
        self.boot == boot.trim()
    }

    /// Writes it whole. The directory must be there.
    ///
    /// # Errors
    ///
    /// [`MemoryError`]; the file before is still there then.
    pub(crate) fn write(mut self, state_dir: &Path) -> Result<(), MemoryError> {
        self.version = VERSION;
        self.boot = boot_id()?;
        let path = state_dir.join(FILE);
        let failed = |action, source| MemoryError::Io {
            action,
            path: path.clone(),
            source,
        };
        let text = serde_json::to_vec_pretty(&self);
        let text = text.map_err(|error| failed("write", error.into()))?;
        let beside = path.with_extension("new");
        fs::write(&beside, text).map_err(|source| failed("write", source))?;
        fs::rename(&beside, &path).map_err(|source| failed("write", source))
    }

    /// The VFs that were advertised.
    pub(crate) fn advertised(&self) -> impl Iterator<Item = PciAddress> {
        self.pools.values().flat_map(BTreeMap::keys).copied()
    }

    /// What was advertised and must not be forgotten, in the light of the first look.
    ///
    /// A VF that is offered in its pool as before goes on. One that is gone or that something is wrong with stays. One that
    /// the configuration withholds or puts elsewhere is left to it, unless a pod holds it: [`adopt`] then keeps the pool.
    pub(crate) fn resume(
        &self,
        look: &Look,
        ledger: &Ledger,
        clock: Clock,
        now: Instant,
    ) -> NodeState {
        let stays = |address: PciAddress, pool: &PoolName, vf: &VfMemory| {
            let held = || matches!(ledger.claim(address), Claim::Held { .. });
            let seen = look.inventory.vfs.get(&address);
            match seen.map(|seen| &seen.standing) {
                Some(Standing::Offered { pool: home }) => home == pool && !is_a_doubt(&vf.verdict),
                Some(Standing::Withheld(reason)) => !is_a_choice(reason) || held(),
                None => true,
            }
        };
        let mut pools = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (pool, vfs) in &self.pools {
            for (address, vf) in vfs
                .iter()
                .filter(|(address, vf)| stays(**address, pool, vf))
            {
                let vf = Advertised {
                    verdict: vf.verdict.clone(),
                    since: clock.instant(vf.since).unwrap_or(now),
                    pf: vf.pf,
                    // The look that follows knows it.
                    index: None,
                    numa_node: vf.numa_node,
                    leaving: None,
                    moved: false,
                    objection: None,
                    kept_back: None,
                };
                pools.entry(pool.clone()).or_default().insert(*address, vf);
            }
        }
        NodeState::new(pools)
    }
}

/// Keeps each VF that a pod has under another name of this plugin than the VF has now in the pool of that name, until it is
/// free. Otherwise the name is not served, and the kubelet cannot start the pod's container again. What pods have is
/// evidence enough: it does not matter which process has served the name.
pub(crate) fn adopt(state: &mut NodeState, look: &Look, ledger: &Ledger, now: Instant) {
    for (address, pool) in ledger.allocated() {
        let Some(vf) = look.inventory.vfs.get(&address) else {
            continue;
        };
        if matches!(&vf.standing, Standing::Offered { pool: home } if *home == pool) {
            continue;
        }
        for vfs in state.pools.values_mut() {
            vfs.remove(&address);
        }
        let adopted = Advertised {
            // The evaluation that follows says what is wrong.
            verdict: Verdict::unhealthy(MOVES, String::new()),
            since: now,
            pf: vf.pf,
            index: vf.index,
            numa_node: vf.numa_node,
            leaving: None,
            moved: false,
            objection: None,
            kept_back: None,
        };
        state
            .pools
            .entry(pool)
            .or_default()
            .insert(address, adopted);
    }
    state.pools.retain(|_, vfs| !vfs.is_empty());
}

impl VfMemory {
    pub(crate) fn of(vf: &Advertised, clock: Clock) -> Self {
        Self {
            verdict: vf.verdict.clone(),
            since: clock.unix(vf.since),
            pf: vf.pf,
            numa_node: vf.numa_node,
        }
    }
}

impl LeakMemory {
    pub(crate) fn of(leak: &Leak, clock: Clock) -> Self {
        Self {
            since: clock.unix(leak.since),
            last_holder: leak.last_holder.clone(),
        }
    }
}

/// Whether a VF is withheld because the operator or the order of VFs wants it so.
fn is_a_choice(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::FamilyNotEnabled { .. } | Reason::BeyondCap { .. } | Reason::GroupShared { .. }
    )
}

/// Whether it was in doubt who holds the VF. That is asked anew, as of a newcomer: it was never known to be free.
fn is_a_doubt(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Unhealthy { code, .. } if code == "held" || code == "holder-unknown")
}

#[cfg(test)]
mod tests {
    use node_sim::{Machine, Profile};
    use qat_policy::Rules;

    use super::*;
    use crate::{Looker, Roots};

    #[test]
    fn what_was_in_doubt_or_belongs_elsewhere_is_not_resumed() {
        let dir = node_sim::scratch().unwrap();
        let machine = Machine::profile(Profile::C3xxx);
        let node = machine.write(dir.path()).unwrap();
        let vfs = node.vfs();
        node.unbind(vfs[2]).unwrap();
        let roots = Roots::new(node.sysfs(), node.dev());
        let look = Looker::new(&roots, Rules::default()).look(&BTreeSet::new());
        let vf = |verdict| VfMemory {
            verdict,
            since: 1,
            pf: None,
            numa_node: None,
        };
        let doubt = Verdict::unhealthy("holder-unknown", "it may be in use".to_owned());
        let pool = |name: &str| PoolName::try_new(name).unwrap();
        let generic = [
            (vfs[0], vf(Verdict::Healthy)),
            (vfs[1], vf(doubt)),
            (vfs[2], vf(Verdict::Healthy)),
        ];
        let memory = Memory {
            pools: [
                (pool("generic"), generic.into()),
                (pool("old"), [(vfs[3], vf(Verdict::Healthy))].into()),
            ]
            .into(),
            ..Memory::default()
        };
        let (clock, now) = (Clock::now(), Instant::now());
        let state = memory.resume(&look.unwrap(), &Ledger::default(), clock, now);
        assert_eq!(state.advertised(), BTreeSet::from([vfs[0], vfs[2]]));
    }
}
