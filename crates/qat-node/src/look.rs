//! One look at the machine.

use std::collections::{BTreeMap, BTreeSet};

use qat_policy::health::Sickness;
use qat_policy::{
    DebugfsRoot, Facts, FunctionKind, Inventory, PfReading, Rules, VfDrivers, identify,
};
use sysfs_pci::{
    Function, IommuGroupId, PciAddress, ScanError, ScanFailure, Scanner, Snapshot, fs,
};
use vfio_host::{Group, Host, NodeError, UioNode, VfioNode};

use crate::Roots;

/// Reads the machine again and again, and remembers what cannot change.
#[derive(Debug)]
pub struct Looker {
    host: Host,
    debugfs: DebugfsRoot,
    scanner: Scanner,
    rules: Rules,
    sick: BTreeMap<PciAddress, Sickness>,
}

/// What one look found: plain data, good to judge, print or compare.
#[derive(Clone, Debug)]
pub struct Look {
    /// Every QAT PF and VF, and for each VF whether it is offered or why not.
    pub inventory: Inventory,
    /// What could not be read, one line for each function.
    pub failures: Vec<ScanFailure>,
    /// Functions that went away while they were read.
    pub vanished: Vec<PciAddress>,
    /// File system calls that the look made.
    pub calls: u64,
}

/// Facts of the host that are not in the scan.
struct HostFacts {
    groups: BTreeMap<IommuGroupId, Group>,
    nodes: BTreeMap<IommuGroupId, Result<VfioNode, NodeError>>,
    control: Result<VfioNode, NodeError>,
    uio: BTreeMap<PciAddress, Result<UioNode, NodeError>>,
    readings: BTreeMap<PciAddress, PfReading>,
}

impl Looker {
    /// Makes a looker that has seen nothing yet.
    pub fn new(roots: &Roots, rules: Rules) -> Self {
        let host = Host {
            sysfs: roots.sysfs.clone(),
            dev: roots.dev.clone(),
            drivers: rules.drivers.vfio(),
        };
        let scanner = Scanner::new(roots.sysfs.clone());
        Self {
            host,
            debugfs: roots.debugfs.clone(),
            scanner,
            rules,
            sick: BTreeMap::new(),
        }
    }

    /// Tells which PFs are not well, for the looks to come.
    pub fn tell(&mut self, sick: BTreeMap<PciAddress, Sickness>) {
        self.sick = sick;
    }

    /// Looks at the machine now.
    ///
    /// Every read is one that cannot block behind a stuck unbind. `advertised` are the VFs that the
    /// kubelet knows already; a cap on the number of VFs keeps them rather than newcomers.
    ///
    /// # Errors
    ///
    /// [`ScanError`] when the PCI bus itself cannot be listed. A single bad function is never an
    /// error: it is in [`Look::failures`].
    pub fn look(&mut self, advertised: &BTreeSet<PciAddress>) -> Result<Look, ScanError> {
        let before = fs::calls();
        let snapshot = self.scanner.scan(&qat_policy::depth)?;
        let facts = self.host_facts(&snapshot);
        let inventory = Inventory::build(
            &Facts {
                snapshot: &snapshot,
                groups: &facts.groups,
                nodes: &facts.nodes,
                control: &facts.control,
                sick: &self.sick,
                uio: &facts.uio,
                readings: &facts.readings,
                denylist_disabled: vfio_host::denylist_disabled(&self.host.sysfs),
                iommu_present: vfio_host::iommu_present(&self.host.sysfs),
                advertised,
            },
            &self.rules,
        );
        let calls = fs::calls() - before;
        let Snapshot {
            failures, vanished, ..
        } = snapshot;
        Ok(Look {
            inventory,
            failures,
            vanished,
            calls,
        })
    }

    /// Whether each of these VFs is open: enabled by whoever uses it. A VF that cannot be asked is
    /// left out, and one on a UIO driver never can: that driver enables it itself.
    pub fn open(&self, vfs: &BTreeSet<PciAddress>) -> BTreeMap<PciAddress, bool> {
        if let VfDrivers::Uio(_) = self.rules.drivers {
            return BTreeMap::new();
        }
        let count = |vf: &PciAddress| sysfs_pci::enable_count(&self.host.sysfs, *vf).ok();
        vfs.iter()
            .filter_map(|vf| Some((*vf, count(vf)? > 0)))
            .collect()
    }

    fn host_facts(&self, snapshot: &Snapshot) -> HostFacts {
        let mut facts = HostFacts {
            groups: vfio_host::groups(snapshot),
            nodes: BTreeMap::new(),
            control: vfio_host::control_node(&self.host.dev),
            uio: BTreeMap::new(),
            readings: BTreeMap::new(),
        };
        for function in snapshot.functions.values() {
            match (identify(function.id), function.iommu_group) {
                (Some((family, FunctionKind::Pf)), _) => {
                    let Self { host, debugfs, .. } = self;
                    let reading = qat_policy::read_pf(
                        &host.sysfs,
                        debugfs,
                        function.address,
                        function.driver.as_ref(),
                        family,
                    );
                    facts.readings.insert(function.address, reading);
                }
                (Some((_, FunctionKind::Vf)), group) => self.vf_facts(&mut facts, function, group),
                (None, _) => {}
            }
        }
        facts
    }

    /// The node of a VF: its group's, or where VFs are wanted on UIO that of its device.
    fn vf_facts(&self, facts: &mut HostFacts, vf: &Function, group: Option<IommuGroupId>) {
        let Host { sysfs, dev, .. } = &self.host;
        match &self.rules.drivers {
            VfDrivers::Vfio(_) => {
                if let Some(group) = group {
                    facts
                        .nodes
                        .entry(group)
                        .or_insert_with(|| vfio_host::group_node(dev, group));
                }
            }
            VfDrivers::Uio(wanted) => {
                if vf.driver.as_ref() == Some(wanted) {
                    let node = vfio_host::uio_node(sysfs, dev, vf.address);
                    facts.uio.insert(vf.address, node);
                }
            }
        }
    }
}
