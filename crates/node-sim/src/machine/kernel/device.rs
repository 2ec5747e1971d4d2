//! The attributes of a QAT PF in `qat/` and `qat_ras/` (`adf_sysfs.c`, `adf_sysfs_ras_counters.c`).

use rustix::io::Errno;
use sysfs_pci::PciAddress;

use super::super::{
    SimNode,
    node::State,
    qat::{self, Family},
};
use super::{
    KernelRelease,
    errno::Answer,
    job::{Row, Step},
    services, words,
};

impl SimNode {
    pub(super) fn state_store(state: &State, pf: PciAddress, bytes: &[u8]) -> Answer<Option<Row>> {
        let up = match words::word(bytes) {
            Some("up") => true,
            Some("down") => false,
            _ => return Err(Errno::INVAL.into()),
        };
        if state.kernel.busy.contains(&pf) {
            return Err(Errno::BUSY.into());
        }
        let is_up = is_up(state, pf)?;
        if up {
            return Ok((!is_up).then(|| Row::new([Step::Up(pf)]).locking([pf])));
        }
        if is_up {
            let row = Row::new([Step::Down(pf)]).locking([pf]);
            return Ok(Some(row.without_vfs(state, pf)));
        }
        if state.machine.release < KernelRelease::V6_7 {
            return Err(Errno::INVAL.into());
        }
        Ok(None)
    }

    pub(super) fn services_store(&self, state: &mut State, pf: PciAddress, bytes: &[u8]) -> Answer {
        let machine = &mut state.machine;
        let family = Family::of_pf(machine.get(pf)?.spec.id).ok_or(Errno::INVAL)?;
        let text = words::word(bytes).ok_or(Errno::INVAL)?;
        let kept = services::kept(text, &family, machine.release).ok_or(Errno::INVAL)?;
        need_down(state, pf)?;
        self.edit(&mut state.machine, pf, |function| {
            function.literal.remove(qat::SERVICES);
            qat::set_services(function, &kept)
        })?;
        Ok(())
    }

    pub(super) fn auto_reset_store(
        &self,
        state: &mut State,
        pf: PciAddress,
        bytes: &[u8],
    ) -> Answer {
        let text = if words::boolean(bytes)? { "on" } else { "off" };
        self.set(state, pf, qat::AUTO_RESET, text)
    }

    pub(super) fn pm_idle_store(&self, state: &mut State, pf: PciAddress, bytes: &[u8]) -> Answer {
        let text = if words::boolean(bytes)? { "1" } else { "0" };
        need_down(state, pf)?;
        self.set(state, pf, qat::PM_IDLE, text)
    }

    pub(super) fn reset_errors_store(
        &self,
        state: &mut State,
        pf: PciAddress,
        bytes: &[u8],
    ) -> Answer {
        if bytes != b"1\n" {
            return Err(Errno::INVAL.into());
        }
        self.edit(&mut state.machine, pf, |function| {
            qat::zero_errors(function);
            Ok(())
        })?;
        Ok(())
    }

    fn set(&self, state: &mut State, pf: PciAddress, name: &str, text: &str) -> Answer {
        self.edit(&mut state.machine, pf, |function| {
            qat::set_value(function, name, text)
        })?;
        Ok(())
    }
}

/// Whether a QAT device is up. Those without `qat/state` are while they have their driver.
pub(super) fn is_up(state: &State, pf: PciAddress) -> Answer<bool> {
    let function = state.machine.get(pf)?;
    Ok(qat::value(function, qat::STATE) != Some("down"))
}

fn need_down(state: &State, pf: PciAddress) -> Answer {
    if is_up(state, pf)? {
        // Not EBUSY, as one might think.
        return Err(Errno::INVAL.into());
    }
    Ok(())
}
