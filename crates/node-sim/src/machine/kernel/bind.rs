//! `bind`, `unbind`, `drivers_probe` and `driver_override` (`drivers/base/bus.c`, `dd.c`).

use rustix::io::Errno;
use sysfs_pci::PciAddress;

use super::super::{
    Machine, SimError, SimNode,
    live::check_probe,
    model::{Function, Role},
    node::State,
    qat::{self, Family},
    steps::hand_out,
};
use super::{
    errno::{Answer, Refusal},
    job::{Row, Step},
    words,
};

/// The driver whose probe wants to know more than `vfio-pci` does.
const QAT_VFIO_PCI: &str = "qat_vfio_pci";

impl SimNode {
    pub(super) fn bind_store(&self, state: &mut State, driver: &str, bytes: &[u8]) -> Answer {
        let address = words::address(bytes)?;
        let function = function(&state.machine, address)?;
        if matching_driver(&state.machine, function) != Some(driver) {
            return Err(Errno::NODEV.into());
        }
        if function.spec.driver.is_some() {
            return Err(Errno::BUSY.into());
        }
        self.probe(state, address, driver)
    }

    pub(super) fn unbind_store(state: &State, driver: &str, bytes: &[u8]) -> Answer<Row> {
        let address = words::address(bytes)?;
        let function = function(&state.machine, address)?;
        if function.spec.driver.as_deref() != Some(driver) {
            return Err(Errno::NODEV.into());
        }
        let mut row = Row::new([Step::Leave(address)]).locking([address]);
        if function.sriov().is_some() {
            row = row.without_vfs(state, address);
        }
        Ok(row.then(Step::LetGo(address)).then(Step::Grab(address)))
    }

    pub(super) fn probe_store(&self, state: &mut State, bytes: &[u8]) -> Answer {
        let address = words::address(bytes)?;
        if function(&state.machine, address)?.spec.driver.is_some() {
            return Ok(());
        }
        self.probe_any(state, address)
    }

    /// Lets the kernel look for a driver, which it may not find: no error then.
    pub(super) fn probe_any(&self, state: &mut State, address: PciAddress) -> Answer {
        let function = function(&state.machine, address)?;
        let Some(driver) = matching_driver(&state.machine, function).map(str::to_owned) else {
            return Ok(());
        };
        if function.driver_override.is_some() && !self.tree.has_driver(&driver) {
            return Ok(());
        }
        match self.probe(state, address, &driver) {
            Err(Refusal::Errno(_)) | Ok(()) => Ok(()),
            error => error,
        }
    }

    pub(super) fn override_store(
        &self,
        state: &mut State,
        address: PciAddress,
        bytes: &[u8],
    ) -> Answer {
        let text = words::driver_override(bytes)?;
        self.edit(&mut state.machine, address, |function| {
            function.literal.remove("driver_override");
            function.driver_override = text;
            Ok(())
        })?;
        Ok(())
    }

    /// The probe of a driver that matches.
    fn probe(&self, state: &mut State, address: PciAddress, driver: &str) -> Answer {
        let machine = &state.machine;
        let function = function(machine, address)?;
        let held = |other: &Function| state.kernel.held.contains(&other.spec.address);
        let mut others = machine.functions.values();
        if !machine.is_vfio(Some(driver))
            && function.group.is_some()
            && others.any(|other| other.group == function.group && held(other))
        {
            // VFIO owns the group (iommu_device_use_default_domain).
            return Err(Errno::BUSY.into());
        }
        if !may_probe(machine, function) {
            return Err(Errno::NODEV.into());
        }
        if machine.is_vfio(Some(driver)) {
            check_probe(machine, function, driver).map_err(errno)?;
        }
        if driver == QAT_VFIO_PCI && !can_migrate(machine, function) {
            return Err(Errno::NODEV.into());
        }
        self.attach_driver(state, address, driver)?;
        Ok(())
    }

    /// Binds a function, whatever speaks against it.
    pub(super) fn attach_driver(
        &self,
        state: &mut State,
        address: PciAddress,
        driver: &str,
    ) -> Result<(), SimError> {
        let machine = &mut state.machine;
        let number = machine.pfs().iter().position(|pf| *pf == address);
        self.edit(machine, address, |function| {
            function.spec.driver = Some(driver.to_owned());
            function.enable = None;
            match number {
                Some(number) if function.is_home() => qat::reset(function, number),
                _ => Ok(()),
            }
        })?;
        hand_out(machine, address)?;
        self.tree.attach(machine, machine.get(address)?)
    }
}

fn function(machine: &Machine, address: PciAddress) -> Result<&Function, Errno> {
    machine.functions.get(&address).ok_or(Errno::NODEV)
}

/// The driver that a function would go to: that of its `driver_override` and no other, or one
/// that knows its ids. VFIO drivers know none.
fn matching_driver<'a>(machine: &'a Machine, function: &'a Function) -> Option<&'a str> {
    if let Some(name) = &function.driver_override {
        return Some(name);
    }
    if let Some(driver) = machine.id_tables.get(&function.spec.id) {
        return Some(driver);
    }
    if let Some(family) = Family::of_vf(function.spec.id) {
        return family.vf_driver();
    }
    let home = function.home.as_deref();
    home.filter(|driver| !machine.is_vfio(Some(driver)))
}

/// `pci_device_can_probe`: a VF whose PF has autoprobe off needs an override.
fn may_probe(machine: &Machine, function: &Function) -> bool {
    let Role::Vf { pf, .. } = function.role else {
        return true;
    };
    let pf = machine.functions.get(&pf).and_then(Function::sriov);
    pf.is_none_or(|sriov| sriov.autoprobe) || function.driver_override.is_some()
}

/// Whether `qat_vfmig_create` finds a PF that can migrate this VF.
fn can_migrate(machine: &Machine, function: &Function) -> bool {
    let Role::Vf { pf, .. } = function.role else {
        return false;
    };
    let on_host = machine.functions.get(&pf).is_some_and(Function::is_home);
    on_host && Family::of_vf(function.spec.id).is_some_and(|family| family.configurable)
}

fn errno(refused: SimError) -> Refusal {
    match refused {
        SimError::HasVfs { .. } => Errno::BUSY.into(),
        SimError::Denylisted { .. } | SimError::NoIommu { .. } => Errno::INVAL.into(),
        other => other.into(),
    }
}
