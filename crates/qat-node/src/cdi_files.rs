//! The CDI files of a node's pools, kept as the machine is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use device_plugin::ResourceName;
use device_plugin::cdi::{DirError, SpecDir};
use passthrough::{Chosen, FunctionNode, Grant, GrantedFunction, cdi_spec};
use qat_policy::{Inventory, PoolName, VfDrivers};
use sysfs_pci::PciAddress;
use vfio_host::{Host, VfioNode, control_node, group_node};

use crate::journal::{Fact, Weight};
use crate::pools::{CdiMode, PoolConfig, PoolSettings};
use crate::text::chain;
use crate::{Ledger, NodeSettings, NodeState, Verdict, resource_name, resource_text};

/// Who wrote a file, in the file. It stays the same over versions.
pub(crate) const WRITER: &str = "qat-plugin";

/// What is wrong with a VF that is not in the file of its pool.
const NOT_DESCRIBED: &str = "not in the CDI file of its resource yet; retrying";

/// Writes and removes the files, and remembers what is in them.
///
/// Only pools that have CDI or want character devices cost anything: for each of their VFs a few calls at each look.
#[derive(Debug)]
pub struct CdiFiles {
    dir: SpecDir,
    host: Host,
    wanted: VfDrivers,
    pools: Arc<PoolConfig>,
    described: Arc<Described>,
    /// Whether there may be files of ours that no pool needs any more: at the start those of an earlier process.
    obsolete: bool,
    /// Whether one of them waits until no pod has a VF of its resource.
    allocated: bool,
}

/// What the files say, for those who hand out: by pool, the node of each VF, or why there is no file.
#[derive(Debug, Default)]
pub struct Described {
    pools: RwLock<BTreeMap<PoolName, Description>>,
}

type Description = Result<BTreeMap<PciAddress, PathBuf>, CdiProblem>;

/// Why a CDI file cannot be written.
#[derive(Clone, PartialEq, Eq, Debug)]
struct CdiProblem {
    /// `cdi-foreign` or `cdi-not-written`.
    code: &'static str,
    text: String,
}

impl Described {
    /// Whether the file of a pool can be relied on for a VF with these nodes. Where containers are not told of CDI,
    /// a missing file concerns nobody but those who look for it.
    ///
    /// # Errors
    ///
    /// Why not, as a part of a sentence.
    pub fn check(
        &self,
        pool: &PoolName,
        mode: CdiMode,
        address: PciAddress,
        nodes: &[FunctionNode],
    ) -> Result<(), String> {
        let pools = self.pools.read().unwrap_or_else(PoisonError::into_inner);
        match (mode, pools.get(pool)) {
            (CdiMode::Off, _) | (CdiMode::Spec, None | Some(Err(_))) => Ok(()),
            (CdiMode::Field, None) => Err("its file is not written yet".to_owned()),
            (CdiMode::Field, Some(Err(problem))) => Err(problem.text.clone()),
            (CdiMode::Spec | CdiMode::Field, Some(Ok(file))) => {
                let there = nodes.first().map(FunctionNode::container_path);
                if file.get(&address).map(PathBuf::as_path) == there {
                    Ok(())
                } else {
                    Err("the CDI file is out of date because the VF was rebound".to_owned())
                }
            }
        }
    }

    /// The pools whose file cannot be written, with the reason.
    pub(crate) fn failed(&self) -> BTreeMap<PoolName, String> {
        let pools = self.pools.read().unwrap_or_else(PoisonError::into_inner);
        let failed = pools.iter();
        failed
            .filter_map(|(pool, file)| Some((pool.clone(), file.as_ref().err()?.text.clone())))
            .collect()
    }

    fn set(&self, pool: &PoolName, description: Description) {
        let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
        pools.insert(pool.clone(), description);
    }

    /// Forgets the pools that `keep` does not name, and returns whether there were any.
    fn forget_all_but(&self, keep: &BTreeSet<&PoolName>) -> bool {
        let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
        let before = pools.len();
        pools.retain(|pool, _| keep.contains(pool));
        pools.len() < before
    }
}

impl CdiFiles {
    /// Prepares to keep the files of a node. Touches nothing.
    #[must_use]
    pub fn new(settings: &NodeSettings) -> Self {
        let roots = &settings.roots;
        let wishes = settings.wishes.borrow();
        Self {
            dir: SpecDir::new(&roots.cdi, WRITER),
            host: Host {
                sysfs: roots.sysfs.clone(),
                dev: roots.dev.clone(),
                drivers: wishes.rules.drivers.vfio(),
            },
            wanted: wishes.rules.drivers.clone(),
            pools: Arc::clone(&wishes.pools),
            described: Arc::default(),
            obsolete: true,
            allocated: false,
        }
    }

    /// Keeps files as these pools have them, from the next time on.
    pub fn follow(&mut self, pools: Arc<PoolConfig>) {
        self.pools = pools;
    }

    /// What the files say, now and later.
    #[must_use]
    pub fn described(&self) -> Arc<Described> {
        Arc::clone(&self.described)
    }

    /// Whether a file could not be written. What is in the way may go without a uevent.
    pub(crate) fn waits(&self) -> bool {
        !self.described.failed().is_empty()
    }

    /// Why VFs cannot be allocated although a scan finds them healthy: their pool names CDI devices in its answers, and its
    /// file does not describe them.
    pub(crate) fn faults(&self, state: &NodeState) -> BTreeMap<PciAddress, Verdict> {
        let pools = &self.described.pools;
        let described = pools.read().unwrap_or_else(PoisonError::into_inner);
        let mut faults = BTreeMap::new();
        for (pool, vfs) in &state.pools {
            if self.pools.of(pool).cdi != CdiMode::Field {
                continue;
            }
            let file = described.get(pool);
            for (vf, _) in vfs.iter().filter(|(_, vf)| !vf.moved) {
                let (code, text) = match file {
                    Some(Ok(file)) if file.contains_key(vf) => continue,
                    Some(Err(problem)) => (problem.code, problem.text.as_str()),
                    Some(Ok(_)) | None => ("cdi-not-written", NOT_DESCRIBED),
                };
                faults.insert(*vf, Verdict::unhealthy(code, text.to_owned()));
            }
        }
        faults
    }

    /// The resources that need a file which cannot be written, with the reason.
    pub(crate) fn missing(&self) -> BTreeMap<String, String> {
        let failed = self.described.failed().into_iter();
        let needed = failed.filter(|(pool, _)| self.pools.of(pool).cdi == CdiMode::Field);
        needed
            .map(|(pool, why)| (resource_text(&pool), why))
            .collect()
    }

    /// Whether a file waits until no pod has a VF of its resource.
    pub(crate) const fn waits_for_pods(&self) -> bool {
        self.allocated
    }

    /// Brings the files in line with what is advertised, and returns what is worth a line in the log.
    ///
    /// A VF stays in its file for as long as it is advertised and has a node, healthy or not: the container that holds
    /// it may be started again. Where no VF of a pool has a node the file is left as it was. So is the file of a pool that
    /// lost CDI or its name, until no pod has a VF of its resource: the kubelet gives a container its old answer again.
    pub fn tend(
        &mut self,
        inventory: &Inventory,
        state: &NodeState,
        ledger: &Ledger,
    ) -> BTreeSet<Fact> {
        let mut facts = BTreeSet::new();
        let mut say = |text| {
            facts.insert(Fact {
                weight: Weight::Warning,
                text,
            });
        };
        let mut with_file = BTreeSet::new();
        for (pool, vfs) in &state.pools {
            let settings = self.pools.of(pool);
            let (Ok(resource), true) = (resource_name(pool), needs_nodes(&settings)) else {
                continue;
            };
            let mut functions = Vec::new();
            let mut without = 0;
            for address in vfs.keys() {
                if let Some(chosen) = self.nodes(inventory, *address, &settings) {
                    without += usize::from(chosen.without_cdev);
                    functions.push(GrantedFunction {
                        address: *address,
                        nodes: chosen.nodes,
                    });
                }
            }
            if without > 0 {
                say(format!(
                    "{resource}: `vfio: {}`, and {without} of {} VFs have no node in /dev/vfio/devices; containers get \
                     the group's node",
                    settings.interface,
                    vfs.len()
                ));
            }
            if settings.cdi != CdiMode::Off {
                with_file.insert(pool);
                if let Err(why) = self.describe(pool, &resource, &settings, functions) {
                    say(format!("{resource}: {why}"));
                }
            }
        }
        self.remove(&with_file, state, ledger)
            .into_iter()
            .for_each(say);
        facts
    }

    /// The nodes of a VF; none if it has none to be described by.
    fn nodes(
        &self,
        inventory: &Inventory,
        address: PciAddress,
        settings: &PoolSettings,
    ) -> Option<Chosen> {
        if let VfDrivers::Uio(_) = self.wanted {
            let node = vfio_host::uio_node(&self.host.sysfs, &self.host.dev, address).ok()?;
            return Some(Chosen {
                nodes: vec![node.into()],
                without_cdev: false,
            });
        }
        let group = inventory.vfs.get(&address)?.iommu_group?;
        let node = group_node(&self.host.dev, group).ok()?;
        settings.interface.choose(&self.host, address, node).ok()
    }

    fn describe(
        &self,
        pool: &PoolName,
        resource: &ResourceName,
        settings: &PoolSettings,
        functions: Vec<GrantedFunction>,
    ) -> Result<(), String> {
        if functions.is_empty() {
            return Ok(());
        }
        let file = functions.iter().filter_map(|function| {
            let node = function.nodes.first()?;
            Some((function.address, node.container_path().to_owned()))
        });
        let file: BTreeMap<PciAddress, PathBuf> = file.collect();
        let spec = cdi_spec(
            &Grant {
                resource,
                functions,
                control: self.control(),
                numbered_prefix: None,
                cdi_names: false,
            },
            settings.owner,
        );
        let failed = |code, why| CdiProblem {
            code,
            text: format!("the CDI file cannot be written: {why}"),
        };
        let written = match spec {
            Ok(spec) => self.dir.write(&spec).map_err(|error| match error {
                DirError::Foreign { .. } | DirError::Claimed { .. } => {
                    failed("cdi-foreign", chain(&error))
                }
                _ => failed("cdi-not-written", chain(&error)),
            }),
            Err(error) => Err(failed("cdi-not-written", chain(&error))),
        };
        let outcome = written.as_ref().map(drop).map_err(|why| why.text.clone());
        self.described.set(pool, written.map(|_changed| file));
        outcome
    }

    fn control(&self) -> Option<VfioNode> {
        control_node(&self.host.dev).ok()
    }

    /// Removes files of pools that are gone or have no CDI any more, but for those whose VFs a pod may have. Returns what
    /// did not work.
    fn remove(
        &mut self,
        with_file: &BTreeSet<&PoolName>,
        state: &NodeState,
        ledger: &Ledger,
    ) -> Option<String> {
        self.obsolete |= self.described.forget_all_but(with_file);
        // Before the first pool it is not known what this node has.
        if !self.obsolete || state.pools.is_empty() {
            return None;
        }
        let needed = with_file.iter().filter_map(|pool| resource_name(pool).ok());
        let mut kept: BTreeSet<ResourceName> = needed.collect();
        let Some(allocated) = ledger.resources() else {
            // Whether a pod has one of their VFs is not known yet.
            return None;
        };
        let described = |resource: &ResourceName| {
            !kept.contains(resource) && self.dir.file(resource).symlink_metadata().is_ok()
        };
        let allocated: Vec<ResourceName> = allocated.into_iter().filter(described).collect();
        self.allocated = !allocated.is_empty();
        kept.extend(allocated);
        let kept: Vec<ResourceName> = kept.into_iter().collect();
        match self.dir.retain(&kept) {
            Ok(_) => {
                self.obsolete = self.allocated;
                None
            }
            Err(error) => Some(format!(
                "cannot remove an obsolete CDI file: {}",
                chain(&error)
            )),
        }
    }
}

/// Whether more than the answer's usual nodes is to be known.
fn needs_nodes(settings: &PoolSettings) -> bool {
    settings.cdi != CdiMode::Off || settings.interface.wants_cdev()
}
