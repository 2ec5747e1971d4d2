//! Rows of steps, and what keeps them from going on.

use std::{
    collections::{BTreeSet, VecDeque},
    mem,
};

use rustix::io::Errno;
use sysfs_pci::PciAddress;

use super::super::{SimError, SimNode, model::Role, node::State, qat};
use super::{
    errno::{Answer, Refusal},
    log::Ticket,
    target::Target,
};

/// One thing that is seen to happen.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A VF loses its SR-IOV links.
    Cut(PciAddress),
    /// A function loses its driver links.
    Leave(PciAddress),
    /// Its driver lets go, as soon as nobody holds the function.
    LetGo(PciAddress),
    /// Whoever waited for that takes the function.
    Grab(PciAddress),
    /// A VF without driver goes away.
    Remove(PciAddress),
    /// A PF says that it has no VFs.
    NoVfs(PciAddress),
    /// A QAT device stops.
    Down(PciAddress),
    /// It starts.
    Up(PciAddress),
    /// A PF gets VFs, whose groups are none of these.
    MakeVfs(PciAddress, u16, BTreeSet<u32>),
}

/// Steps that belong together, and the functions whose device lock they hold.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) locks: BTreeSet<PciAddress>,
    pub(super) steps: VecDeque<Step>,
}

/// What a pending write has to do yet.
#[derive(Debug)]
pub(super) enum Work {
    /// It waits in the middle.
    Row(Row),
    /// It waits for the lock of a function, and nothing of it has been done.
    Write(Target, Vec<u8>),
}

/// A write that waits.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) ticket: Option<Ticket>,
    pub(super) locks: BTreeSet<PciAddress>,
    pub(super) work: Work,
}

impl Row {
    pub(super) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            locks: BTreeSet::new(),
            steps: steps.into_iter().collect(),
        }
    }

    pub(super) fn locking(mut self, addresses: impl IntoIterator<Item = PciAddress>) -> Self {
        self.locks.extend(addresses);
        self
    }

    pub(super) fn then(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }

    /// The removal of all VFs of a PF, in the order of `sriov_del_vfs`.
    pub(super) fn without_vfs(mut self, state: &State, pf: PciAddress) -> Self {
        for vf in state.machine.vfs_of(pf) {
            self.locks.insert(vf);
            self.steps.push_back(Step::Cut(vf));
            if state.machine.driver_of(vf).is_some() {
                self.steps.extend([Step::Leave(vf), Step::LetGo(vf)]);
            }
            self.steps.push_back(Step::Remove(vf));
        }
        self.then(Step::NoVfs(pf))
    }
}

impl SimNode {
    /// Begins a row. True if it is done; else it is pending now.
    pub(super) fn begin(
        &self,
        state: &mut State,
        ticket: Option<Ticket>,
        mut row: Row,
    ) -> Answer<bool> {
        let done = self.go_on(state, &mut row)?;
        if !done {
            let locks = row.locks.clone();
            let work = Work::Row(row);
            state.kernel.pending.push_back(Pending {
                ticket,
                locks,
                work,
            });
        }
        Ok(done)
    }

    /// Does what can be done of a row. True if that is all.
    fn go_on(&self, state: &mut State, row: &mut Row) -> Answer<bool> {
        while let Some(step) = row.steps.front() {
            if let Step::LetGo(address) = step
                && state.kernel.held.contains(address)
            {
                return Ok(false);
            }
            if let Some(step) = row.steps.pop_front() {
                self.step(state, step)?;
            }
        }
        Ok(true)
    }

    fn step(&self, state: &mut State, step: Step) -> Answer {
        match step {
            Step::Cut(vf) => self.cut(state, vf)?,
            Step::Leave(address) => self.leave(state, address)?,
            Step::LetGo(address) => self.let_go(state, address)?,
            Step::Grab(address) => {
                if let Some(driver) = state.kernel.grabs.remove(&address) {
                    self.attach_driver(state, address, &driver)?;
                }
            }
            Step::Remove(vf) => {
                if let Some(function) = state.machine.functions.get(&vf) {
                    self.tree.remove(&state.machine, function)?;
                    state.machine.functions.remove(&vf);
                }
            }
            Step::NoVfs(pf) => self.edit(&mut state.machine, pf, |function| {
                if let Some(sriov) = function.sriov_mut() {
                    sriov.enabled = 0;
                }
                Ok(())
            })?,
            Step::Down(pf) => self.edit(&mut state.machine, pf, |function| {
                match qat::value(function, qat::STATE) {
                    Some("up") => qat::set_down(function),
                    _ => Ok(()),
                }
            })?,
            Step::Up(pf) => self.edit(&mut state.machine, pf, |function| {
                match qat::value(function, qat::STATE) {
                    Some("down") => qat::set_up(function),
                    _ => Ok(()),
                }
            })?,
            Step::MakeVfs(pf, count, avoid) => self.make_vfs(state, pf, count, &avoid)?,
        }
        Ok(())
    }

    fn cut(&self, state: &mut State, vf: PciAddress) -> Result<(), SimError> {
        let Some(function) = state.machine.functions.get(&vf) else {
            return Ok(());
        };
        if let Role::Vf { pf, index } = function.role {
            self.tree.cut_from_pf(&state.machine, vf, (pf, index))?;
            state.machine.sriov_of(pf)?.vfs.remove(&index);
        }
        Ok(())
    }

    fn leave(&self, state: &mut State, address: PciAddress) -> Result<(), SimError> {
        if let Some(function) = state.machine.functions.get_mut(&address) {
            function.leaving = true;
            self.tree.detach_links(&state.machine, address)?;
        }
        Ok(())
    }

    fn let_go(&self, state: &mut State, address: PciAddress) -> Result<(), SimError> {
        // It may have been unplugged or unbound in another way meanwhile.
        match state.machine.functions.get(&address) {
            Some(function) if function.leaving => {
                self.tree.detach(&state.machine, function)?;
                self.forget_driver(state, address)
            }
            _ => Ok(()),
        }
    }

    /// Goes on with everything that no longer has to wait, oldest first.
    pub(super) fn advance(&self, state: &mut State) -> Result<(), SimError> {
        let mut result = Ok(());
        let mut locked = BTreeSet::new();
        for pending in mem::take(&mut state.kernel.pending) {
            let still = if pending.locks.is_disjoint(&locked) {
                match self.resume(state, pending) {
                    Ok(still) => still,
                    Err(error) => {
                        result = Err(error);
                        None
                    }
                }
            } else {
                Some(pending)
            };
            if let Some(pending) = still {
                locked.extend(pending.locks.iter().copied());
                state.kernel.pending.push_back(pending);
            }
        }
        self.turn();
        result
    }

    /// Goes on with one write. Returns it if it waits again.
    fn resume(&self, state: &mut State, pending: Pending) -> Result<Option<Pending>, SimError> {
        let Pending { ticket, work, .. } = pending;
        let row = match work {
            Work::Row(row) => Ok(Some(row)),
            Work::Write(target, bytes) => self.judge(state, &target, &bytes),
        };
        let gone_on = row.and_then(|row| {
            let Some(mut row) = row else { return Ok(None) };
            let done = self.go_on(state, &mut row)?;
            Ok((!done).then_some(row))
        });
        let (answer, result) = match gone_on {
            Ok(Some(row)) => {
                let locks = row.locks.clone();
                let work = Work::Row(row);
                return Ok(Some(Pending {
                    ticket,
                    locks,
                    work,
                }));
            }
            Ok(None) => (Ok(()), Ok(None)),
            Err(Refusal::Errno(errno)) => (Err(errno), Ok(None)),
            Err(Refusal::Sim(error)) => (Err(Errno::IO), Err(error)),
        };
        if let Some(ticket) = ticket {
            state.kernel.log.settle(ticket, answer);
        }
        result
    }
}
