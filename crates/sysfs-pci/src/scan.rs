//! Looking at all PCI functions, cheaply.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::address::PciAddress;
use crate::error::{AttrError, ScanError};
use crate::fs::{Base, Dir, Entry, entry_at};
use crate::ids::PciId;
use crate::numbers::IommuGroupId;
use crate::root::SysfsRoot;
use crate::snapshot::{Neighbour, NeighbourDriver, Role, ScanFailure, Snapshot};
use crate::visit::{Known, Visit};

/// How closely the caller wants to look at a function, decided by its ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// What it is and which IOMMU group it is in: not ours, but perhaps a neighbour of ours.
    Identity,
    /// As something to hand out: driver, group, physical function.
    Function,
    /// As the owner of virtual functions: driver, group, NUMA node, links to them.
    Physical,
}

/// Scans again and again, and reads what cannot change only once.
///
/// A living function keeps its ids, its class and its NUMA node, so a later scan does not read
/// them again, nor the group of a function that is only [`Depth::Identity`]. What can change is
/// read each time: drivers, the groups of functions, the links between physical and virtual
/// functions. A function that was unplugged and is back, at the same address, has a new entry in
/// `bus/pci/devices` with a new inode number, which the listing shows for free.
///
/// # Cost
///
/// File system calls, as [`crate::fs::calls`] counts them:
///
/// | | first scan | later scans |
/// |---|---|---|
/// | the listing | 4, and 1 for each further 64 KiB | the same |
/// | a [`Depth::Physical`] function | 12 | 6 |
/// | a virtual function, with the link of its physical function | 7 | 4 |
/// | another [`Depth::Function`] function | 9 | 4 |
/// | a [`Depth::Identity`] function | 4 | 0 |
/// | ... that is in the group of a function | 5 | 1 |
/// | ... and has another driver than `vfio-pci`, `pci-stub` and `pcieport` | 6 | 2 |
///
/// The last call looks for `vfio-dev`, by which a variant driver of VFIO is known.
/// A second scan looks once more (1) for the group of a [`Depth::Identity`] function that had
/// none. To [`refresh`](Self::refresh) some functions costs 2 calls, and for each of them 1 more than a later scan pays
/// for it. None of these calls can block behind a stuck unbind.
#[derive(Debug)]
pub struct Scanner {
    root: SysfsRoot,
    known: BTreeMap<PciAddress, Known>,
}

/// Looks at all PCI functions once. A daemon keeps a [`Scanner`] instead.
///
/// `depth` says for each pair of ids how much the caller wants to know.
///
/// # Errors
///
/// [`ScanError::NoPciBus`] if there is no list of PCI functions below `root`. Nothing about a
/// single function is an error of the scan: see [`Snapshot::failures`] and [`Snapshot::vanished`].
///
/// # Examples
///
/// ```
/// # use std::{fs, os::unix::fs::symlink};
/// use sysfs_pci::{Depth, PciId, Role, SysfsRoot, scan};
///
/// # let tree = tempfile::tempdir()?;
/// # let device = tree.path().join("devices/pci0000:00/0000:00:02.0");
/// # fs::create_dir_all(&device)?;
/// # fs::create_dir_all(tree.path().join("bus/pci/devices"))?;
/// # symlink("../../../devices/pci0000:00/0000:00:02.0", tree.path().join("bus/pci/devices/0000:00:02.0"))?;
/// # symlink("../../../bus/pci/drivers/vfio-pci", device.join("driver"))?;
/// # fs::write(device.join("modalias"), "pci:v00008086d00001520sv00008086sd00000000bc02sc00i00\n")?;
/// # fs::write(device.join("numa_node"), "1\n")?;
/// # let root = SysfsRoot::new(tree.path());
/// // `root` is a machine with one network function, given to it by a hypervisor.
/// let nic = PciId::new(0x8086, 0x1520);
/// let wanted = |id| if id == nic { Depth::Function } else { Depth::Identity };
/// let snapshot = scan(&root, &wanted)?;
///
/// let function = &snapshot.functions[&"0000:00:02.0".parse()?];
/// assert_eq!(function.driver.as_ref().map(|name| name.as_str()), Some("vfio-pci"));
/// assert!(matches!(function.role, Role::Standalone { numa_node: Some(_) }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn scan(root: &SysfsRoot, depth: &dyn Fn(PciId) -> Depth) -> Result<Snapshot, ScanError> {
    Scanner::new(root.clone()).scan(depth)
}

// === impl Scanner ===

impl Scanner {
    /// A scanner that has seen nothing yet.
    pub fn new(root: SysfsRoot) -> Self {
        Self {
            root,
            known: BTreeMap::new(),
        }
    }

    /// Where it looks.
    pub fn root(&self) -> &SysfsRoot {
        &self.root
    }

    /// Looks at all PCI functions now.
    ///
    /// # Errors
    ///
    /// As [`scan`].
    pub fn scan(&mut self, depth: &dyn Fn(PciId) -> Depth) -> Result<Snapshot, ScanError> {
        // It stays open while its entries are looked at, each by a path relative to it.
        let directory = Dir::open(self.root.pci_devices()).map_err(|error| refused(&error))?;
        let mut entries = directory.entries().map_err(|error| refused(&error))?;
        let base = directory.base();
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));

        let mut snapshot = Snapshot::default();
        let mut visited = BTreeSet::new();
        for entry in entries {
            match entry.name.parse() {
                Ok(address) => {
                    let visit = Visit::new(address, entry, base);
                    self.visit(&visit, depth, &mut snapshot);
                    visited.insert(address);
                }
                Err(error) => snapshot.failures.push(ScanFailure {
                    error: AttrError::unparsed(&base.full(Path::new(&entry.name)), error),
                    name: entry.name,
                    address: None,
                }),
            }
        }
        self.known.retain(|address, _| visited.contains(address));
        number_vfs(&mut snapshot);
        read_shared_drivers(&mut snapshot, base, &|_| true);
        snapshot.failures.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(snapshot)
    }

    /// Looks again at some functions, of which the kernel has said that something happened to them, and puts what is there now
    /// into a snapshot that this scanner has made. The result is that of a [`scan`](Self::scan) if nothing happened to
    /// the others. What it costs does not depend on how many others there are.
    ///
    /// A function that is gone leaves the snapshot; one that is new enters it. Virtual functions that a physical one of
    /// `addresses` has links to, and that do not know it yet, are looked at as well: the kernel tells of them before
    /// it has made both links. Returns all that were looked at.
    ///
    /// # Errors
    ///
    /// As [`scan`]; the snapshot is as it was.
    pub fn refresh(
        &mut self,
        snapshot: &mut Snapshot,
        addresses: &BTreeSet<PciAddress>,
        depth: &dyn Fn(PciId) -> Depth,
    ) -> Result<BTreeSet<PciAddress>, ScanError> {
        let directory = Dir::open(self.root.pci_devices()).map_err(|error| refused(&error))?;
        let base = directory.base();
        snapshot.vanished.clear();
        let mut seen = BTreeSet::new();
        let mut next = addresses.clone();
        while !next.is_empty() {
            for address in &next {
                snapshot.forget(*address);
                match entry_at(base, &address.to_string()) {
                    Ok(entry) => {
                        let visit = Visit::new(*address, entry, base);
                        self.visit(&visit, depth, snapshot);
                    }
                    // Gone, or as good as gone: nothing can be read of it.
                    Err(_) => {
                        self.known.remove(address);
                    }
                }
            }
            seen.append(&mut next);
            next.extend(strangers(snapshot, &seen));
        }
        number_vfs(snapshot);
        let stale = |neighbour: &Neighbour| {
            seen.contains(&neighbour.address) || neighbour.driver == NeighbourDriver::NotRead
        };
        read_shared_drivers(snapshot, base, &stale);
        snapshot.failures.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(seen)
    }

    /// Puts one entry where it belongs in the snapshot.
    fn visit(&mut self, visit: &Visit<'_>, depth: &dyn Fn(PciId) -> Depth, to: &mut Snapshot) {
        let address = visit.address;
        let mut known = match self.known.remove(&address) {
            Some(known) if known.is_of(visit) => known,
            _ => match visit.identify() {
                Ok(known) => known,
                Err(error) => return not_found(visit, error, to),
            },
        };
        let found = match depth(known.id()) {
            Depth::Identity => visit.neighbour(&mut known).map(|found| {
                to.neighbours.insert(address, found);
            }),
            Depth::Function => visit.function(&mut known, &mut to.failures).map(|found| {
                to.functions.insert(address, found);
            }),
            Depth::Physical => visit.physical(&mut known, &mut to.failures).map(|found| {
                to.functions.insert(address, found);
            }),
        };
        match found {
            Err(error) if error.is_gone() => to.vanished.push(address),
            found => {
                if let Err(error) = found {
                    to.failures.push(visit.failure(error));
                    if let Ok(stranger) = visit.stranger(&known) {
                        to.neighbours.insert(address, stranger);
                    }
                }
                self.known.insert(address, known);
            }
        }
    }
}

/// An entry that could not even be identified.
fn not_found(visit: &Visit<'_>, error: AttrError, to: &mut Snapshot) {
    if error.is_gone() {
        to.vanished.push(visit.address);
    } else {
        to.failures.push(visit.failure(error));
    }
}

/// Gives each virtual function the number that its physical function has for it.
fn number_vfs(snapshot: &mut Snapshot) {
    let mut numbers = BTreeMap::new();
    for function in snapshot.functions.values() {
        if let Role::Physical(sriov) = &function.role {
            let links = sriov.vfs.iter();
            numbers.extend(links.map(|(index, vf)| ((function.address, *vf), *index)));
        }
    }
    for function in snapshot.functions.values_mut() {
        if let Role::Virtual { pf, index } = &mut function.role {
            *index = numbers.get(&(*pf, function.address)).copied();
        }
    }
}

/// Virtual functions that a physical one of these has links to, but that do not know of it.
fn strangers(snapshot: &Snapshot, looked_at: &BTreeSet<PciAddress>) -> Vec<PciAddress> {
    let pfs = looked_at.iter().filter_map(|pf| snapshot.functions.get(pf));
    let links = pfs.filter_map(|function| match &function.role {
        Role::Physical(sriov) => Some(sriov.vfs.values().map(|vf| (function.address, *vf))),
        Role::Virtual { .. } | Role::Standalone { .. } => None,
    });
    let knows = |pf, vf: &PciAddress| {
        let role = snapshot.functions.get(vf).map(|function| &function.role);
        matches!(role, Some(Role::Virtual { pf: known, .. }) if *known == pf)
    };
    links
        .flatten()
        .filter(|(pf, vf)| !looked_at.contains(vf) && !knows(*pf, vf))
        .map(|(_, vf)| vf)
        .collect()
}

/// Reads the drivers of neighbours that share a group with a function, if they are `wanted`: they decide whether the
/// group can be handed out. A neighbour stays whatever the answer is.
fn read_shared_drivers(
    snapshot: &mut Snapshot,
    base: Base<'_>,
    wanted: &dyn Fn(&Neighbour) -> bool,
) {
    let functions = snapshot.functions.values();
    let groups: BTreeSet<IommuGroupId> = functions.filter_map(|f| f.iommu_group).collect();
    for neighbour in snapshot.neighbours.values_mut() {
        let shares = neighbour.iommu_group.is_some_and(|g| groups.contains(&g));
        if !shares {
            neighbour.driver = NeighbourDriver::NotRead;
        }
        if !shares || !wanted(neighbour) {
            continue;
        }
        let name = neighbour.address.to_string();
        let visit = Visit::new(neighbour.address, Entry { name, inode: 0 }, base);
        neighbour.driver = visit.neighbour_driver().unwrap_or_else(|error| {
            let failure = visit.failure(error);
            // The visit itself may have met the same.
            if !snapshot.failures.contains(&failure) {
                snapshot.failures.push(failure);
            }
            NeighbourDriver::Unreadable
        });
    }
}

/// The error of a list that cannot be had.
fn refused(error: &AttrError) -> ScanError {
    ScanError::NoPciBus {
        source: error.os_error(),
        path: error.path().to_owned(),
    }
}
