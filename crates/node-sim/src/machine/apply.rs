//! How a change alters the description.

use std::{collections::BTreeMap, mem};

use sysfs_pci::{PciAddress, PciId};

use super::{
    Change, DescriptionError, FunctionSpec, Heartbeat, Machine, Numa,
    model::{Function, Iommu, Role, set_driver},
    profile, qat,
};

/// Ids that `vfio-pci` refuses unless told otherwise (`drivers/vfio/pci/vfio_pci.c`).
const DENYLIST: [u16; 8] = [
    0x0435, 0x0443, 0x19e2, 0x19e3, 0x37c8, 0x37c9, 0x0b25, 0x0cfe,
];

impl Machine {
    /// Makes one thing different.
    #[must_use]
    pub fn with(mut self, change: Change<'_>) -> Self {
        if let Err(problem) = self.apply(change) {
            self.problems.push(problem);
        }
        self
    }

    /// Makes one thing different for each of several functions.
    ///
    /// # Examples
    ///
    /// ```
    /// use node_sim::{Change, Machine, Profile};
    ///
    /// let machine = Machine::profile(Profile::Xeon4xxx);
    /// let pfs = machine.pfs();
    /// let bare = machine.with_each(pfs, Change::NoVfs);
    /// assert!(bare.vfs().is_empty());
    /// ```
    #[must_use]
    pub fn with_each<'a>(
        self,
        addresses: impl IntoIterator<Item = PciAddress>,
        change: impl Fn(PciAddress) -> Change<'a>,
    ) -> Self {
        addresses
            .into_iter()
            .fold(self, |machine, address| machine.with(change(address)))
    }

    fn apply(&mut self, change: Change<'_>) -> Result<(), DescriptionError> {
        match change {
            Change::NoVfs(pf) => self.remove_vfs(pf)?,
            Change::SriovOff(pf) => {
                self.remove_vfs(pf)?;
                self.sriov_of(pf)?.capable = false;
            }
            Change::Driver { address, driver } => self.change_driver(address, driver)?,
            Change::AllVfsOn(driver) => {
                for vf in self.vfs() {
                    self.change_driver(vf, driver)?;
                }
            }
            Change::NoIommu => self.without_iommu(Iommu::None)?,
            Change::NoIommuMode => self.without_iommu(Iommu::NoIommuMode)?,
            Change::IommuPassthrough => self.iommu = Iommu::Passthrough,
            Change::NoIommuGroup(address) => self.get_mut(address)?.group = None,
            Change::SharedGroup { a, b } => self.share_group(a, b)?,
            Change::NicInGroup { of, driver } => self.nic_in_group(of, driver)?,
            Change::Function(spec) => *self = mem::take(self).function(spec),
            Change::Garbage {
                address,
                attribute,
                bytes,
            } => {
                let literal = &mut self.get_mut(address)?.literal;
                literal.insert(attribute.to_owned(), bytes.to_owned());
            }
            Change::NoAttribute { address, attribute } => {
                let missing = &mut self.get_mut(address)?.missing;
                missing.insert(attribute.to_owned());
            }
            Change::Services { pf, text } => qat::set_services(self.get_mut(pf)?, text)?,
            Change::StateDown(pf) => {
                self.remove_vfs(pf)?;
                qat::set_down(self.get_mut(pf)?)?;
            }
            Change::PfOnVfio(pf) => self.pf_on_vfio(pf)?,
            Change::PfUnbound(pf) => {
                self.remove_vfs(pf)?;
                self.change_driver(pf, None)?;
            }
            Change::LookAlikes => *self = profile::with_look_alikes(mem::take(self)),
            Change::NumaUnknown(address) => self.change_numa(address, Numa::Unknown)?,
            Change::NumaAbsent(address) => self.change_numa(address, Numa::Absent)?,
            Change::NoNode(address) => self.get_mut(address)?.node = false,
            Change::NoControlNode => self.control_node = false,
            Change::Denylist(in_force) => self.change_denylist(in_force)?,
            Change::Domain(domain) => self.change_domain(domain)?,
            Change::Cdev(nodes) => self.cdev = nodes,
            Change::Heartbeat { pf, heartbeat } => self.change_heartbeat(pf, heartbeat)?,
            Change::NoDebugfs => self.debugfs = false,
        }
        Ok(())
    }

    fn change_driver(
        &mut self,
        address: PciAddress,
        driver: Option<&str>,
    ) -> Result<(), DescriptionError> {
        let vfio_drivers = self.vfio_drivers.clone();
        set_driver(self.get_mut(address)?, driver, &vfio_drivers);
        Ok(())
    }

    fn without_iommu(&mut self, iommu: Iommu) -> Result<(), DescriptionError> {
        self.iommu = iommu;
        for function in self.functions.values_mut() {
            function.group = None;
        }
        if iommu == Iommu::None {
            for address in self.functions.keys().copied().collect::<Vec<_>>() {
                if self.is_vfio(self.driver_of(address)) {
                    self.change_driver(address, None)?;
                }
            }
        }
        Ok(())
    }

    fn share_group(&mut self, a: PciAddress, b: PciAddress) -> Result<(), DescriptionError> {
        let group = self.get(a)?.group;
        let group = group.ok_or(DescriptionError::NoGroup { address: a })?;
        let b = self.get_mut(b)?;
        b.group = Some(group);
        b.companion = Some(a);
        Ok(())
    }

    fn nic_in_group(
        &mut self,
        of: PciAddress,
        driver: Option<&str>,
    ) -> Result<(), DescriptionError> {
        let free = (0..32)
            .filter_map(|device| PciAddress::new(of.domain(), 0xfe, device, 0))
            .find(|address| !self.functions.contains_key(address));
        let address = free.ok_or(DescriptionError::AddressTaken { address: of })?;
        let mut nic = FunctionSpec::new(address, PciId::new(0x8086, 0x10fb)).class(0x02_0000);
        if let Some(driver) = driver {
            nic = nic.driver(driver);
        }
        *self = mem::take(self).function(nic);
        self.share_group(of, address)
    }

    fn pf_on_vfio(&mut self, pf: PciAddress) -> Result<(), DescriptionError> {
        self.sriov_of(pf)?;
        self.enable_sriov = true;
        self.change_driver(pf, Some("vfio-pci"))?;
        for vf in self.vfs_of(pf) {
            self.change_driver(vf, Some("vfio-pci"))?;
        }
        Ok(())
    }

    fn change_numa(&mut self, address: PciAddress, numa: Numa) -> Result<(), DescriptionError> {
        self.get_mut(address)?.spec.numa = numa;
        for vf in self.vfs_of(address) {
            self.get_mut(vf)?.spec.numa = numa;
        }
        Ok(())
    }

    fn change_denylist(&mut self, in_force: bool) -> Result<(), DescriptionError> {
        self.denylist_disabled = !in_force;
        if !in_force {
            return Ok(());
        }
        for address in self.functions.keys().copied().collect::<Vec<_>>() {
            let function = self.get(address)?;
            let driver = function.spec.driver.as_deref();
            if driver.is_some_and(|driver| self.is_denied(function.spec.id, driver)) {
                self.change_driver(address, None)?;
            }
        }
        Ok(())
    }

    /// Whether a probe ends at the denylist. Only `vfio-pci` itself has one.
    pub(super) fn is_denied(&self, id: PciId, driver: &str) -> bool {
        let listed = id.vendor == 0x8086 && DENYLIST.contains(&id.device);
        listed && driver == "vfio-pci" && !self.denylist_disabled
    }

    fn change_domain(&mut self, domain: u32) -> Result<(), DescriptionError> {
        let moved = |address: PciAddress| {
            PciAddress::new(domain, address.bus(), address.device(), address.function())
                .ok_or(DescriptionError::UnknownFunction { address })
        };
        let mut functions: BTreeMap<PciAddress, Function> = BTreeMap::new();
        for (address, mut function) in mem::take(&mut self.functions) {
            let address = moved(address)?;
            function.spec.address = address;
            function.companion = function.companion.map(moved).transpose()?;
            function.spec.behind = function.spec.behind.map(moved).transpose()?;
            match &mut function.role {
                Role::Vf { pf, .. } => *pf = moved(*pf)?,
                Role::Pf(sriov) => {
                    for vf in sriov.vfs.values_mut() {
                        *vf = moved(*vf)?;
                    }
                }
                Role::Plain | Role::Given => {}
            }
            functions.insert(address, function);
        }
        self.functions = functions;
        Ok(())
    }

    fn change_heartbeat(
        &mut self,
        pf: PciAddress,
        heartbeat: Option<Heartbeat>,
    ) -> Result<(), DescriptionError> {
        qat::set_heartbeat(self.get_mut(pf)?, heartbeat)
    }
}
