//! The machine in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use sysfs_pci::{IommuGroupId, PciAddress, PciId};

use super::{
    CdevNodes, DescriptionError, FunctionSpec, KernelRelease, PfSpec, Profile, SimError, SimNode,
    model::{Function, Iommu, Role, Sriov},
    profile,
};

/// VFIO drivers every machine knows: `vfio-pci` and the QAT variant driver (Linux 6.10).
const VFIO_DRIVERS: [&str; 2] = ["vfio-pci", "qat_vfio_pci"];

/// A machine in memory: its PCI functions, their drivers and groups, and what
/// its kernel was built and booted with.
///
/// Put one together from a [`Profile`] or from specs, change it with
/// [`with`](Self::with), and write it. A mistake in the description is kept
/// until [`write`](Self::write), which returns it.
///
/// # Examples
///
/// ```
/// use node_sim::{Change, Machine, Profile};
///
/// let dir = node_sim::scratch()?;
/// let machine = Machine::profile(Profile::C62x);
/// let second = machine.vfs()[1];
/// let node = machine
///     .with(Change::Driver { address: second, driver: Some("c6xxvf") })
///     .write(dir.path())?;
/// let driver = node.sysfs().join("bus/pci/devices/0000:3d:01.1/driver");
/// assert!(driver.read_link()?.ends_with("bus/pci/drivers/c6xxvf"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the kernel or the node"
)]
pub struct Machine {
    pub(super) functions: BTreeMap<PciAddress, Function>,
    pub(super) iommu: Iommu,
    pub(super) vfio_drivers: BTreeSet<String>,
    pub(super) denylist_disabled: bool,
    pub(super) enable_sriov: bool,
    pub(super) control_node: bool,
    pub(super) cdev: CdevNodes,
    pub(super) debugfs: bool,
    /// Write only the files that identify and place a function.
    pub(super) lean: bool,
    /// The kernel that plays behind writes.
    pub(super) release: KernelRelease,
    /// Ids that drivers know besides those of this crate's profiles.
    pub(super) id_tables: BTreeMap<PciId, String>,
    pub(super) problems: Vec<DescriptionError>,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// A machine with an IOMMU and no PCI function at all.
    pub fn new() -> Self {
        Self {
            functions: BTreeMap::new(),
            iommu: Iommu::Translated,
            vfio_drivers: VFIO_DRIVERS.map(str::to_owned).into(),
            denylist_disabled: false,
            enable_sriov: false,
            control_node: true,
            cdev: CdevNodes::Present,
            debugfs: true,
            lean: false,
            release: KernelRelease::default(),
            id_tables: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// A machine as it is found in the field.
    pub fn profile(profile: Profile) -> Self {
        profile::build(profile)
    }

    /// Adds a function without SR-IOV.
    #[must_use]
    pub fn function(mut self, spec: FunctionSpec) -> Self {
        let role = if spec.given { Role::Given } else { Role::Plain };
        self.insert(spec, role, 0);
        self
    }

    /// Adds a PF and all of its VFs.
    #[must_use]
    pub fn pf(mut self, spec: PfSpec) -> Self {
        let address = spec.function.address;
        let sriov = Sriov {
            vf_id: spec.vf_id,
            total: spec.total,
            offset: spec.offset,
            stride: spec.stride,
            enabled: 0,
            capable: true,
            autoprobe: true,
            vfs: BTreeMap::new(),
        };
        self.insert(spec.function, Role::Pf(sriov), 0);
        self.create_vfs(address, spec.vf_driver.as_deref(), None);
        self
    }

    /// Says that a driver is a VFIO driver: what is bound to it has nodes.
    ///
    /// `vfio-pci` and `qat_vfio_pci` are known.
    #[must_use]
    pub fn vfio_driver(mut self, name: &str) -> Self {
        self.vfio_drivers.insert(name.to_owned());
        self
    }

    /// Says which kernel answers writes; Linux 6.12 if nothing is said.
    #[must_use]
    pub fn kernel(mut self, release: KernelRelease) -> Self {
        self.release = release;
        self
    }

    /// Says that functions with these ids are in the id table of a driver, which is loaded: it
    /// takes them when they are probed, as an out-of-tree `4xxxvf` does.
    ///
    /// The VF drivers of generation 2 that Linux has (`c6xxvf`, `c3xxxvf`, `dh895xccvf`) are known.
    #[must_use]
    pub fn known_by(mut self, driver: &str, id: PciId) -> Self {
        self.id_tables.insert(id, driver.to_owned());
        self
    }

    /// Makes functions show only what identifies and places them: no `config`,
    /// `resource`, link speeds and so on. For trees with thousands of VFs.
    #[must_use]
    pub fn lean(mut self) -> Self {
        self.lean = true;
        self
    }

    /// Addresses of the PFs with SR-IOV, in order.
    pub fn pfs(&self) -> Vec<PciAddress> {
        self.select(|function| matches!(function.role, Role::Pf(_)))
    }

    /// Addresses of the VFs, in order; those that were given to a guest count.
    pub fn vfs(&self) -> Vec<PciAddress> {
        self.select(|function| matches!(function.role, Role::Vf { .. } | Role::Given))
    }

    /// Addresses of everything else: bridges, network cards.
    pub fn others(&self) -> Vec<PciAddress> {
        self.select(|function| matches!(function.role, Role::Plain))
    }

    /// Addresses of a PF's VFs, by number. Empty for anything that is not a PF.
    pub fn vfs_of(&self, pf: PciAddress) -> Vec<PciAddress> {
        self.functions
            .get(&pf)
            .and_then(Function::sriov)
            .map_or_else(Vec::new, |sriov| sriov.vfs.values().copied().collect())
    }

    /// The IOMMU group of a function.
    ///
    /// In no-IOMMU mode groups come and go with the driver, and only a written
    /// machine has them.
    pub fn group_of(&self, address: PciAddress) -> Option<IommuGroupId> {
        let group = self.functions.get(&address)?.group?;
        Some(IommuGroupId::new(group))
    }

    /// The driver of a function.
    pub fn driver_of(&self, address: PciAddress) -> Option<&str> {
        self.functions.get(&address)?.spec.driver.as_deref()
    }

    /// Writes the machine into a directory, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// [`SimError::Description`] with the first mistake of the description,
    /// before anything is written; [`SimError::Io`] if the directory cannot be filled.
    pub fn write(self, dir: &Path) -> Result<SimNode, SimError> {
        match self.problems.first() {
            Some(problem) => Err(problem.clone().into()),
            None => SimNode::write(self, dir),
        }
    }

    fn select(&self, wanted: impl Fn(&Function) -> bool) -> Vec<PciAddress> {
        self.functions
            .iter()
            .filter(|(_, function)| wanted(function))
            .map(|(address, _)| *address)
            .collect()
    }

    pub(super) fn is_vfio(&self, driver: Option<&str>) -> bool {
        driver.is_some_and(|driver| self.vfio_drivers.contains(driver))
    }

    pub(super) fn get(&self, address: PciAddress) -> Result<&Function, DescriptionError> {
        self.functions
            .get(&address)
            .ok_or(DescriptionError::UnknownFunction { address })
    }

    pub(super) fn get_mut(
        &mut self,
        address: PciAddress,
    ) -> Result<&mut Function, DescriptionError> {
        self.functions
            .get_mut(&address)
            .ok_or(DescriptionError::UnknownFunction { address })
    }

    pub(super) fn sriov_of(&mut self, pf: PciAddress) -> Result<&mut Sriov, DescriptionError> {
        self.get_mut(pf)?
            .sriov_mut()
            .ok_or(DescriptionError::NotPhysical { address: pf })
    }
}
