//! `sriov_numvfs` and `sriov_drivers_autoprobe` (`drivers/pci/iov.c`, `adf_sriov.c`).

use std::collections::BTreeSet;

use rustix::io::Errno;
use sysfs_pci::PciAddress;

use super::super::{
    Machine, SimNode,
    grow::{FIRST_VF_GROUP, lowest_free},
    model::{Function, Iommu},
    node::State,
    qat::Family,
    tree::{Tree, files_of},
};
use super::{
    KernelRelease,
    errno::Answer,
    job::{Row, Step},
    words,
};

impl SimNode {
    pub(super) fn num_vfs_store(
        state: &State,
        pf: PciAddress,
        bytes: &[u8],
    ) -> Answer<Option<Row>> {
        let asked = words::number(bytes)?;
        let machine = &state.machine;
        let function = machine.get(pf)?;
        let sriov = function.sriov().ok_or(Errno::NOENT)?;
        if asked > sriov.total {
            return Err(Errno::RANGE.into());
        }
        if asked == sriov.enabled {
            return Ok(None);
        }
        let qat = Family::of_pf(function.spec.id).is_some() && function.is_home();
        if !qat && !can_configure(machine, function) {
            return Err(Errno::NOENT.into());
        }
        if asked != 0 && sriov.enabled != 0 {
            return Err(Errno::BUSY.into());
        }
        if qat {
            check_qat(state, pf, asked)?;
        }
        let total = sriov.total;
        let row = Row::default().locking([pf]);
        Ok(Some(match (asked, qat) {
            (0, false) => row.without_vfs(state, pf),
            (0, true) => row
                .then(Step::Down(pf))
                .without_vfs(state, pf)
                .then(Step::Up(pf)),
            (asked, false) => row.then(Step::MakeVfs(pf, asked, BTreeSet::new())),
            // The number is ignored.
            (_, true) => row
                .then(Step::Up(pf))
                .then(Step::MakeVfs(pf, total, BTreeSet::new())),
        }))
    }

    pub(super) fn autoprobe_store(
        &self,
        state: &mut State,
        pf: PciAddress,
        bytes: &[u8],
    ) -> Answer {
        let autoprobe = words::boolean(bytes)?;
        self.edit(&mut state.machine, pf, |function| {
            function.literal.remove("sriov_drivers_autoprobe");
            if let Some(sriov) = function.sriov_mut() {
                sriov.autoprobe = autoprobe;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Makes VFs appear, each with its driver if one takes it; the count is set last
    /// (`sriov_enable`, then `sriov_numvfs_store`).
    pub(super) fn make_vfs(
        &self,
        state: &mut State,
        pf: PciAddress,
        count: u16,
        avoid: &BTreeSet<u32>,
    ) -> Answer {
        let machine = &mut state.machine;
        let before = files_of(machine, machine.get(pf)?);
        let captured = machine.is_vfio(machine.driver_of(pf));
        let captor = machine
            .driver_of(pf)
            .filter(|_| captured)
            .map(str::to_owned);
        let made = machine.create_vfs(pf, None, Some(count));
        regroup(machine, &made, avoid)?;
        for vf in made {
            let machine = &mut state.machine;
            // "Captured SR-IOV VF … driver_override" (vfio_pci_bus_notifier).
            machine.get_mut(vf)?.driver_override.clone_from(&captor);
            self.tree.add(machine, machine.get(vf)?)?;
            self.probe_any(state, vf)?;
        }
        let machine = &mut state.machine;
        machine.get_mut(pf)?.literal.remove("sriov_numvfs");
        let dir = Tree::device_dir(machine, pf);
        let after = files_of(machine, machine.get(pf)?);
        self.tree.sync(&before, &after, &dir)?;
        Ok(())
    }
}

/// Whether the driver of a PF that is not QAT has `sriov_configure`.
fn can_configure(machine: &Machine, function: &Function) -> bool {
    let on_vfio = machine.is_vfio(function.spec.driver.as_deref());
    function.spec.driver.is_some()
        && if on_vfio {
            machine.enable_sriov
        } else {
            function.is_home()
        }
}

/// What the QAT driver refuses (`adf_sriov_configure`).
fn check_qat(state: &State, pf: PciAddress, asked: u16) -> Answer {
    let release = state.machine.release;
    let translated = matches!(state.machine.iommu, Iommu::Translated | Iommu::Passthrough);
    let needs_iommu = (KernelRelease::V6_12..KernelRelease::V6_17).contains(&release);
    let refused = if asked == 0 {
        release < KernelRelease::V6_12
    } else {
        needs_iommu && !translated
    };
    if refused {
        return Err(Errno::INVAL.into());
    }
    if state.kernel.busy.contains(&pf) {
        return Err(Errno::BUSY.into());
    }
    Ok(())
}

/// Gives new VFs other groups than these, in a row.
fn regroup(machine: &mut Machine, vfs: &[PciAddress], avoid: &BTreeSet<u32>) -> Answer {
    if avoid.is_empty() {
        return Ok(());
    }
    let others = machine
        .functions
        .values()
        .filter(|function| !vfs.contains(&function.spec.address));
    let mut taken: BTreeSet<u32> = others.filter_map(|function| function.group).collect();
    taken.extend(avoid);
    for vf in vfs {
        let function = machine.get_mut(*vf)?;
        if function.group.is_some() {
            let group = lowest_free(&taken, FIRST_VF_GROUP);
            taken.insert(group);
            function.group = Some(group);
        }
    }
    Ok(())
}
