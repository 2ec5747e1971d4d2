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
use crate::hints::Scope;

/// Reads the machine again and again, and remembers what cannot change.
///
/// Between two looks at everything it can look at a part: what it saw of the rest still holds then. So what an event costs
/// does not grow with the number of VFs.
#[derive(Debug)]
pub struct Looker {
    host: Host,
    debugfs: DebugfsRoot,
    scanner: Scanner,
    rules: Rules,
    sick: BTreeMap<PciAddress, Sickness>,
    seen: Option<Seen>,
}

/// What was seen last.
#[derive(Debug)]
struct Seen {
    snapshot: Snapshot,
    facts: HostFacts,
    denylist_disabled: Option<bool>,
    iommu_present: bool,
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
    /// Whether only a part was looked at.
    pub partial: bool,
}

/// Facts of the host that are not in the scan.
#[derive(Debug)]
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
            seen: None,
        }
    }

    /// Judges by other rules from the next look on. They are to be for the same drivers.
    pub fn follow(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Tells which PFs are not well, for the looks to come.
    pub fn tell(&mut self, sick: BTreeMap<PciAddress, Sickness>) {
        self.sick = sick;
    }

    /// Looks at everything now.
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
        let mut seen = Seen {
            facts: HostFacts::new(&snapshot, &self.host),
            denylist_disabled: vfio_host::denylist_disabled(&self.host.sysfs),
            iommu_present: vfio_host::iommu_present(&self.host.sysfs),
            snapshot,
        };
        for function in seen.snapshot.functions.values() {
            self.read_facts(&mut seen.facts, function);
        }
        let look = self.conclude(&seen, advertised, fs::calls() - before, false);
        self.seen = Some(seen);
        Ok(look)
    }

    /// Looks again at what `scope` names, and takes the rest as it was seen last. Without a last look, at everything.
    ///
    /// A function that is named is read again with its group's node, and a PF with its services. A group that is named
    /// stands for its node.
    ///
    /// # Errors
    ///
    /// As [`look`](Self::look).
    pub fn look_at(
        &mut self,
        scope: &Scope,
        advertised: &BTreeSet<PciAddress>,
    ) -> Result<Look, ScanError> {
        let (Some(mut seen), false) = (self.seen.take(), scope.is_everything()) else {
            return self.look(advertised);
        };
        let before = fs::calls();
        let groups_of = |snapshot: &Snapshot, functions: &BTreeSet<PciAddress>| {
            let functions = functions.iter();
            let functions = functions.filter_map(|address| snapshot.functions.get(address));
            let groups = functions.filter_map(|function| function.iommu_group);
            groups.collect::<BTreeSet<_>>()
        };
        let mut groups = groups_of(&seen.snapshot, scope.functions());
        let functions = match scope.functions() {
            none if none.is_empty() => BTreeSet::new(),
            some => {
                let Seen { snapshot, .. } = &mut seen;
                self.scanner.refresh(snapshot, some, &qat_policy::depth)?
            }
        };
        groups.extend(groups_of(&seen.snapshot, &functions));
        groups.extend(scope.groups());
        seen.facts
            .renew(&seen.snapshot, &self.host, &functions, &groups);
        for function in seen.snapshot.functions.values() {
            if seen.facts.lacks(function, &self.rules.drivers) {
                self.read_facts(&mut seen.facts, function);
            }
        }
        let look = self.conclude(&seen, advertised, fs::calls() - before, true);
        self.seen = Some(seen);
        Ok(look)
    }

    fn conclude(
        &self,
        seen: &Seen,
        advertised: &BTreeSet<PciAddress>,
        calls: u64,
        partial: bool,
    ) -> Look {
        let Seen {
            snapshot, facts, ..
        } = seen;
        let inventory = Inventory::build(
            &Facts {
                snapshot,
                groups: &facts.groups,
                nodes: &facts.nodes,
                control: &facts.control,
                sick: &self.sick,
                uio: &facts.uio,
                readings: &facts.readings,
                denylist_disabled: seen.denylist_disabled,
                iommu_present: seen.iommu_present,
                advertised,
            },
            &self.rules,
        );
        Look {
            inventory,
            failures: snapshot.failures.clone(),
            vanished: snapshot.vanished.clone(),
            calls,
            partial,
        }
    }

    /// The PCI functions and IOMMU groups that were seen last.
    #[must_use]
    pub fn seen(&self) -> Option<(&Snapshot, &BTreeMap<IommuGroupId, Group>)> {
        let seen = self.seen.as_ref()?;
        Some((&seen.snapshot, &seen.facts.groups))
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

    /// Reads what the host says of one function.
    fn read_facts(&self, facts: &mut HostFacts, function: &Function) {
        match identify(function.id) {
            Some((family, FunctionKind::Pf)) => {
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
            Some((_, FunctionKind::Vf)) => self.vf_facts(facts, function),
            None => {}
        }
    }

    /// The node of a VF: its group's, or where VFs are wanted on UIO that of its device.
    fn vf_facts(&self, facts: &mut HostFacts, vf: &Function) {
        let Host { sysfs, dev, .. } = &self.host;
        match (&self.rules.drivers, vf.iommu_group) {
            (VfDrivers::Vfio(_), Some(group)) => {
                let nodes = &mut facts.nodes;
                nodes
                    .entry(group)
                    .or_insert_with(|| vfio_host::group_node(dev, group));
            }
            (VfDrivers::Vfio(_), None) => {}
            (VfDrivers::Uio(wanted), _) => {
                if vf.driver.as_ref() == Some(wanted) {
                    let node = vfio_host::uio_node(sysfs, dev, vf.address);
                    facts.uio.insert(vf.address, node);
                }
            }
        }
    }
}

impl HostFacts {
    /// What is true of the host as a whole.
    fn new(snapshot: &Snapshot, host: &Host) -> Self {
        Self {
            groups: vfio_host::groups(snapshot),
            nodes: BTreeMap::new(),
            control: vfio_host::control_node(&host.dev),
            uio: BTreeMap::new(),
            readings: BTreeMap::new(),
        }
    }

    /// Forgets what may be true no more.
    fn renew(
        &mut self,
        snapshot: &Snapshot,
        host: &Host,
        functions: &BTreeSet<PciAddress>,
        groups: &BTreeSet<IommuGroupId>,
    ) {
        self.groups = vfio_host::groups(snapshot);
        self.control = vfio_host::control_node(&host.dev);
        let exist = &self.groups;
        self.nodes
            .retain(|group, _| exist.contains_key(group) && !groups.contains(group));
        let stays = |address: &PciAddress| {
            snapshot.functions.contains_key(address) && !functions.contains(address)
        };
        self.uio.retain(|address, _| stays(address));
        self.readings.retain(|address, _| stays(address));
    }

    /// Whether something is not known of a function that a look at everything would have read.
    fn lacks(&self, function: &Function, drivers: &VfDrivers) -> bool {
        match (identify(function.id), drivers) {
            (Some((_, FunctionKind::Pf)), _) => !self.readings.contains_key(&function.address),
            (Some((_, FunctionKind::Vf)), VfDrivers::Vfio(_)) => function
                .iommu_group
                .is_some_and(|group| !self.nodes.contains_key(&group)),
            (Some((_, FunctionKind::Vf)), VfDrivers::Uio(wanted)) => {
                function.driver.as_ref() == Some(wanted)
                    && !self.uio.contains_key(&function.address)
            }
            (None, _) => false,
        }
    }
}
