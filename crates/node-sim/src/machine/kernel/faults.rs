//! Things that go wrong, for tests.

use std::{collections::BTreeSet, io, path::Path};

use rustix::io::Errno;
use sysfs_pci::PciAddress;

use super::super::{SimError, SimNode, model::Role, node::State};
use super::{
    WriteRecord,
    errno::Refusal,
    job::{Row, Step},
    target::Target,
};

impl SimNode {
    /// A process opens a function that is on a VFIO driver: `enable` reads 1, and the driver does not
    /// let go of it until [`release`](Self::release).
    ///
    /// A write that takes the driver away (`unbind`, a 0 in `sriov_numvfs`, `down`) then stops half
    /// way: the driver links are gone, the node stays. Writes that need the lock of the same
    /// function, of its PF or of VFs that go with it wait behind it. [`unbind`](Self::unbind),
    /// [`unplug`](Self::unplug) and [`disable_sriov`](Self::disable_sriov) wait for nobody and end the
    /// process.
    ///
    /// # Errors
    ///
    /// [`SimError::NotOnVfio`]; [`SimError::Description`] if there is no such function.
    pub fn hold(&self, address: PciAddress) -> Result<(), SimError> {
        let mut state = self.state();
        let state = &mut *state;
        let function = state.machine.get(address)?;
        if !state.machine.is_vfio(function.spec.driver.as_deref()) {
            return Err(SimError::NotOnVfio { address });
        }
        state.kernel.held.insert(address);
        self.edit(&mut state.machine, address, |function| {
            function.enable = Some(1);
            Ok(())
        })
    }

    /// The process closes the function, or ends. What waited for that goes on before this returns.
    ///
    /// A function that nobody holds is fine.
    ///
    /// # Errors
    ///
    /// [`SimError::Io`] if what goes on cannot change the tree.
    pub fn release(&self, address: PciAddress) -> Result<(), SimError> {
        let mut state = self.state();
        if !state.kernel.held.remove(&address) {
            return Ok(());
        }
        if state.machine.functions.contains_key(&address) {
            self.edit(&mut state.machine, address, |function| {
                function.enable = None;
                Ok(())
            })?;
        }
        self.advance(&mut state)
    }

    /// Ends the processes that hold these functions or their VFs, before what waits for nobody.
    pub(in super::super) fn end_holders(
        &self,
        state: &mut State,
        addresses: &[PciAddress],
    ) -> Result<(), SimError> {
        let functions = &state.machine.functions;
        let ends = |held: &PciAddress| {
            let pf = match functions.get(held).map(|function| &function.role) {
                Some(Role::Vf { pf, .. }) => *pf,
                _ => *held,
            };
            addresses.contains(held) || addresses.contains(&pf)
        };
        state.kernel.held.retain(|held| !ends(held));
        if state.kernel.pending.is_empty() {
            return Ok(());
        }
        self.advance(state)
    }

    /// Makes the next write to a file fail with this errno, as in `errno(3)`, and change nothing.
    ///
    /// Several for one file come one after the other. The path is as in
    /// [`write_as_kernel`](Self::write_as_kernel).
    ///
    /// # Errors
    ///
    /// When there is no such file, or none that does something when it is written.
    pub fn fail_next_write(&self, path: impl AsRef<Path>, errno: i32) -> io::Result<()> {
        let path = self.resolve(path.as_ref())?;
        let mut state = self.state();
        let target = Target::parse(&state.machine, &path).ok_or(io::ErrorKind::Unsupported)?;
        let faults = state.kernel.faults.entry(target).or_default();
        faults.push_back(Errno::from_raw_os_error(errno));
        Ok(())
    }

    /// Lets another writer win the race after the next `unbind` of a function: this driver has it
    /// by the time that `unbind` returns.
    ///
    /// # Errors
    ///
    /// [`SimError::Description`] if there is no such function.
    pub fn grab_after_unbind(&self, address: PciAddress, driver: &str) -> Result<(), SimError> {
        let mut state = self.state();
        state.machine.get(address)?;
        state.kernel.grabs.insert(address, driver.to_owned());
        Ok(())
    }

    /// Says whether a QAT PF is in reset or used by the kernel's own crypto: `qat/state` and
    /// `sriov_numvfs` are EBUSY then.
    ///
    /// # Errors
    ///
    /// [`SimError::Description`] if this is not a PF.
    pub fn set_busy(&self, pf: PciAddress, busy: bool) -> Result<(), SimError> {
        let mut state = self.state();
        state.machine.sriov_of(pf)?;
        if busy {
            state.kernel.busy.insert(pf);
        } else {
            state.kernel.busy.remove(&pf);
        }
        Ok(())
    }

    /// Resets a PF as kernels before mid-2026 do: its VFs go away and come again, without the
    /// override and the driver that they had, and in other groups.
    ///
    /// Those that are [held](Self::hold) keep the reset waiting, and the rest of it happens in
    /// [`release`](Self::release).
    ///
    /// # Errors
    ///
    /// [`SimError::Description`] if this is not a PF.
    pub fn reset_pf(&self, pf: PciAddress) -> Result<(), SimError> {
        let mut state = self.state();
        let count = state.machine.sriov_of(pf)?.enabled;
        let vfs = state.machine.vfs_of(pf);
        let group = |vf: &PciAddress| state.machine.functions.get(vf)?.group;
        let groups: BTreeSet<u32> = vfs.iter().filter_map(group).collect();
        let row = Row::new([Step::Down(pf)])
            .locking([pf])
            .without_vfs(&state, pf)
            .then(Step::Up(pf))
            .then(Step::MakeVfs(pf, count, groups));
        match self.begin(&mut state, None, row) {
            Ok(_) => Ok(()),
            Err(Refusal::Sim(error)) => Err(error),
            Err(Refusal::Errno(source)) => Err(SimError::Io {
                operation: "reset",
                path: self.device(pf),
                source: source.into(),
            }),
        }
    }

    /// Every write so far, through [`write_as_kernel`](Self::write_as_kernel) or seen by a
    /// [reactor](Self::react), in order. What the methods of this type do is no write.
    pub fn writes(&self) -> Vec<WriteRecord> {
        self.state().kernel.log.records()
    }

    /// Forgets the writes so far, but for those that wait.
    pub fn forget_writes(&self) {
        self.state().kernel.log.clear();
    }
}
