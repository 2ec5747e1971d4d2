//! The steps that live changes are made of.

use sysfs_pci::PciAddress;

use super::{
    DescriptionError, Machine, SimError, SimNode,
    model::{Function, Iommu, Role},
    node::{State, free_cdev},
    tree::{Tree, files_of},
};

impl SimNode {
    /// Changes a function and what its files say.
    pub(super) fn edit(
        &self,
        machine: &mut Machine,
        address: PciAddress,
        change: impl FnOnce(&mut Function) -> Result<(), DescriptionError>,
    ) -> Result<(), SimError> {
        let before = files_of(machine, machine.get(address)?);
        change(machine.get_mut(address)?)?;
        let dir = Tree::device_dir(machine, address);
        let after = files_of(machine, machine.get(address)?);
        self.tree.sync(&before, &after, &dir)
    }

    /// Takes the driver away from a function that has one.
    pub(super) fn strip(&self, state: &mut State, address: PciAddress) -> Result<(), SimError> {
        self.tree
            .detach(&state.machine, state.machine.get(address)?)?;
        self.drop_vfs(state, address)?;
        self.forget_driver(state, address)
    }

    /// Makes memory and attributes say that a function has no driver, once the tree shows none.
    pub(super) fn forget_driver(
        &self,
        state: &mut State,
        address: PciAddress,
    ) -> Result<(), SimError> {
        state.kernel.held.remove(&address);
        let machine = &mut state.machine;
        let no_iommu = machine.iommu == Iommu::NoIommuMode;
        self.edit(machine, address, |function| {
            function.spec.driver = None;
            function.cdev = None;
            function.enable = None;
            function.leaving = false;
            if no_iommu {
                function.group = None;
            }
            Ok(())
        })
    }

    /// Removes the VFs of a function, if it has any, for good.
    pub(super) fn drop_vfs(&self, state: &mut State, pf: PciAddress) -> Result<(), SimError> {
        for vf in state.machine.vfs_of(pf) {
            self.take(state, vf)?;
        }
        self.edit(&mut state.machine, pf, |function| {
            if let Some(sriov) = function.sriov_mut() {
                sriov.enabled = 0;
            }
            Ok(())
        })
    }

    /// Removes one function that nothing depends on, and returns it as it was.
    pub(super) fn take(
        &self,
        state: &mut State,
        address: PciAddress,
    ) -> Result<Function, SimError> {
        let function = state.machine.get(address)?.clone();
        if let Role::Vf { pf, index } = function.role {
            self.tree
                .cut_from_pf(&state.machine, address, (pf, index))?;
            state.machine.sriov_of(pf)?.vfs.remove(&index);
        }
        if function.spec.driver.is_some() {
            self.strip(state, address)?;
        }
        let machine = &mut state.machine;
        self.tree.remove(machine, machine.get(address)?)?;
        machine.functions.remove(&address);
        Ok(function)
    }

    /// Adds one function that was taken.
    pub(super) fn give(
        &self,
        machine: &mut Machine,
        mut function: Function,
    ) -> Result<(), SimError> {
        let address = function.spec.address;
        if let Role::Vf { pf, index } = function.role {
            machine.sriov_of(pf)?.vfs.insert(index, address);
        }
        let group = function.group;
        function.group = group.map(|old| machine.group_again(&function, old));
        function.cdev = None;
        machine.functions.insert(address, function);
        hand_out(machine, address)?;
        self.tree.add(machine, machine.get(address)?)
    }
}

/// Gives a function that is on a VFIO driver the numbers which that hands out.
pub(super) fn hand_out(machine: &mut Machine, address: PciAddress) -> Result<(), DescriptionError> {
    if !machine.is_vfio(machine.driver_of(address)) {
        return Ok(());
    }
    if machine.iommu == Iommu::NoIommuMode {
        let group = machine.free_group(0);
        machine.get_mut(address)?.group = Some(group);
    }
    let number = free_cdev(machine);
    let function = machine.get_mut(address)?;
    function.cdev = function.group.map(|_| number);
    Ok(())
}

/// What goes with a function, in the order in which it goes; the function itself is last.
pub(super) fn dependants(machine: &Machine, address: PciAddress) -> Vec<PciAddress> {
    let behind = machine
        .functions
        .iter()
        .filter(|(other, function)| {
            function.spec.behind == Some(address)
                && **other != address
                && !matches!(function.role, Role::Vf { .. })
        })
        .flat_map(|(other, _)| dependants(machine, *other));
    let mut order = machine.vfs_of(address);
    order.extend(behind);
    order.push(address);
    order
}
