//! What can happen to a machine while it runs.

use sysfs_pci::{IommuGroupId, PciAddress};

use super::{
    DescriptionError, FunctionSpec, Heartbeat, Machine, SimError, SimNode,
    model::{Function, Iommu, Role, set_driver},
    qat,
    steps::{dependants, hand_out},
    tree::{Tree, files_of},
};

impl SimNode {
    /// Unbinds a function from its driver, as a write to `unbind` does that nobody keeps waiting.
    ///
    /// The driver links go first, then what the driver made: VFIO nodes, files
    /// of its own. A PF loses its VFs.
    ///
    /// # Errors
    ///
    /// [`SimError::NotBound`], or [`SimError::Description`] if there is no such function.
    pub fn unbind(&self, address: PciAddress) -> Result<(), SimError> {
        let mut state = self.state();
        self.end_holders(&mut state, &[address])?;
        if state.machine.get(address)?.spec.driver.is_none() {
            return Err(SimError::NotBound { address });
        }
        self.strip(&mut state, address)
    }

    /// Binds a function to a driver, as a binder does: a VFIO driver by way of
    /// `driver_override`, any other by its id table.
    ///
    /// A PF comes back without VFs; see [`enable_sriov`](Self::enable_sriov).
    ///
    /// # Errors
    ///
    /// [`SimError::AlreadyBound`]; [`SimError::Description`] if there is no such function.
    /// For a VFIO driver also [`SimError::Denylisted`], [`SimError::HasVfs`] of a PF, and
    /// [`SimError::NoIommu`] of a function without group.
    pub fn bind(&self, address: PciAddress, driver: &str) -> Result<(), SimError> {
        let mut state = self.state();
        let machine = &mut state.machine;
        let function = machine.get(address)?;
        if let Some(driver) = function.spec.driver.clone() {
            return Err(SimError::AlreadyBound { address, driver });
        }
        if machine.is_vfio(Some(driver)) {
            check_probe(machine, function, driver)?;
        }
        let drivers = machine.vfio_drivers.clone();
        self.edit(machine, address, |function| {
            set_driver(function, Some(driver), &drivers);
            Ok(())
        })?;
        hand_out(machine, address)?;
        self.tree.attach(machine, machine.get(address)?)
    }

    /// Takes a function out of the machine, with what lies behind it and, of a PF, its VFs.
    ///
    /// The order is that of `pci_stop_and_remove_bus_device` and, for VFs, of
    /// `pci_iov_remove_virtfn`: SR-IOV links, driver, `bus/pci/devices`, group, directory.
    ///
    /// # Errors
    ///
    /// [`SimError::Description`] if there is no such function.
    pub fn unplug(&self, address: PciAddress) -> Result<(), SimError> {
        let mut state = self.state();
        state.machine.get(address)?;
        let mut gone = Vec::new();
        let all = dependants(&state.machine, address);
        self.end_holders(&mut state, &all)?;
        for function in dependants(&state.machine, address) {
            gone.push(self.take(&mut state, function)?);
        }
        state.unplugged.insert(address, gone);
        Ok(())
    }

    /// Brings back what [`unplug`](Self::unplug) took, in the state it was in:
    /// provisioning has run again.
    ///
    /// The entries in `bus/pci/devices` have inode numbers that entries of the same name
    /// never had before, as in sysfs.
    ///
    /// VFs take the lowest free group numbers, which need not be those they had.
    ///
    /// # Errors
    ///
    /// [`SimError::NotUnplugged`]; [`SimError::Description`] if a VF's PF is not there.
    pub fn replug(&self, address: PciAddress) -> Result<(), SimError> {
        let mut state = self.state();
        let mut back = state.take_unplugged(address)?;
        back.reverse();
        // Bridges and PFs from the top down, then VFs by number, as they are created.
        back.sort_by_key(|function| match function.role {
            Role::Vf { pf, index } => Some((pf, index)),
            _ => None,
        });
        for function in back {
            self.give(&mut state.machine, function)?;
        }
        Ok(())
    }

    /// Removes all VFs of a PF, as a 0 in `sriov_numvfs` does.
    ///
    /// # Errors
    ///
    /// [`SimError::Description`] if this is not a PF.
    pub fn disable_sriov(&self, pf: PciAddress) -> Result<(), SimError> {
        let mut state = self.state();
        state.machine.sriov_of(pf)?;
        self.end_holders(&mut state, &[pf])?;
        self.drop_vfs(&mut state, pf)
    }

    /// Creates all VFs of a PF, without a driver, as a number in `sriov_numvfs` does on QAT.
    ///
    /// They take the lowest free group numbers.
    ///
    /// # Errors
    ///
    /// [`SimError::HasVfs`]; [`SimError::Description`] if this is not a PF.
    pub fn enable_sriov(&self, pf: PciAddress) -> Result<(), SimError> {
        let mut state = self.state();
        let machine = &mut state.machine;
        if !machine.sriov_of(pf)?.vfs.is_empty() {
            return Err(SimError::HasVfs { pf });
        }
        let before = files_of(machine, machine.get(pf)?);
        for vf in machine.create_vfs(pf, None, None) {
            self.tree.add(machine, machine.get(vf)?)?;
        }
        // The count is set last (sriov_numvfs_store).
        let dir = Tree::device_dir(machine, pf);
        let after = files_of(machine, machine.get(pf)?);
        self.tree.sync(&before, &after, &dir)
    }

    /// Makes `qat/cfg_services` and `dev_cfg` of a PF say this, literally.
    ///
    /// On a real machine this needs the state `down`, which costs the VFs.
    ///
    /// # Errors
    ///
    /// [`SimError::Description`] if the function has no such attribute.
    pub fn set_services(&self, pf: PciAddress, text: &str) -> Result<(), SimError> {
        let mut state = self.state();
        self.edit(&mut state.machine, pf, |function| {
            function.literal.remove("qat/cfg_services");
            qat::set_services(function, text)
        })
    }

    /// Makes the heartbeat files of a QAT PF say this; `None` removes them.
    ///
    /// # Errors
    ///
    /// [`SimError::Description`] if the function has none.
    pub fn set_heartbeat(
        &self,
        pf: PciAddress,
        heartbeat: Option<Heartbeat>,
    ) -> Result<(), SimError> {
        let mut state = self.state();
        self.edit(&mut state.machine, pf, |function| {
            qat::set_heartbeat(function, heartbeat)
        })
    }

    /// Sets the enable count: 1 on a VFIO driver says that somebody has the device open.
    ///
    /// It holds until the function is bound or unbound.
    ///
    /// # Errors
    ///
    /// [`SimError::Description`] if there is no such function.
    pub fn set_enable(&self, address: PciAddress, count: u32) -> Result<(), SimError> {
        let mut state = self.state();
        self.edit(&mut state.machine, address, |function| {
            function.enable = Some(count);
            Ok(())
        })
    }

    /// Makes a read of an attribute return these bytes, from now on.
    ///
    /// A reader sees the old content or the new one, never a part of either.
    ///
    /// # Errors
    ///
    /// [`SimError::Description`] if the function has no attribute of this name.
    pub fn write_attr(
        &self,
        address: PciAddress,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), SimError> {
        let mut state = self.state();
        let machine = &mut state.machine;
        let path = Tree::device_dir(machine, address).join(name);
        if !files_of(machine, machine.get(address)?).contains_key(&path) {
            let name = name.to_owned();
            return Err(DescriptionError::NoAttribute { address, name }.into());
        }
        self.edit(machine, address, |function| {
            function.literal.insert(name.to_owned(), bytes.to_owned());
            Ok(())
        })
    }

    /// Removes the node of a group from `/dev/vfio`; one that is gone already is fine.
    ///
    /// # Errors
    ///
    /// [`SimError::Io`].
    pub fn remove_node(&self, group: IommuGroupId) -> Result<(), SimError> {
        let state = self.state();
        self.tree.remove_group_node(&state.machine, group.get())
    }

    /// Puts the node of a group back into `/dev/vfio`; one that is there already is fine.
    ///
    /// # Errors
    ///
    /// [`SimError::NoVfioGroup`] if nothing of the group is on a VFIO driver.
    pub fn add_node(&self, group: IommuGroupId) -> Result<(), SimError> {
        let state = self.state();
        self.tree.add_group_node(&state.machine, group.get())
    }
}

/// What the probe of a VFIO driver refuses, in the order of the kernel: `vfio_pci_probe`, then
/// `vfio_pci_core_register_device`.
pub(super) fn check_probe(
    machine: &Machine,
    function: &Function,
    driver: &str,
) -> Result<(), SimError> {
    let FunctionSpec { address, id, .. } = function.spec;
    if machine.is_denied(id, driver) {
        return Err(SimError::Denylisted { address, id });
    }
    if !machine.vfs_of(address).is_empty() {
        return Err(SimError::HasVfs { pf: address });
    }
    if function.group.is_none() && machine.iommu != Iommu::NoIommuMode {
        return Err(SimError::NoIommu { address });
    }
    Ok(())
}
