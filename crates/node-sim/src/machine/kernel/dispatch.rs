//! One write, from its path to what it does.

use std::{
    collections::BTreeSet,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use sysfs_pci::PciAddress;

use super::super::{SimNode, node::State};
use super::{
    WriteOutcome,
    errno::{Answer, Refusal},
    job::{Pending, Row, Work},
    log::Ticket,
    target::{Knob, Target},
    words,
};

impl SimNode {
    /// Writes to an attribute as `write(2)` does on a real machine: does what the kernel would,
    /// and returns when it would, with its errno ([`raw_os_error`](io::Error::raw_os_error)).
    ///
    /// The path is absolute or relative to `/sys`; links on the way are followed, so
    /// `bus/pci/devices/<address>/driver/unbind` is the file of the driver that is bound. Nothing
    /// has changed after an error.
    ///
    /// **Blocks** while a function that must lose its driver is [held](Self::hold), like the
    /// real one: until another thread [releases](Self::release) it.
    ///
    /// What happens is that of `driver_override`, `bind`, `unbind`, `drivers_probe`, `sriov_numvfs`,
    /// `sriov_drivers_autoprobe`, `qat/state`, `qat/cfg_services`, `qat/auto_reset`,
    /// `qat/pm_idle_enabled` and `qat_ras/reset_error_counters`.
    ///
    /// # Errors
    ///
    /// ENODEV, EBUSY, EINVAL, ENOENT, ERANGE by the kernel's rules, or what
    /// [`fail_next_write`](Self::fail_next_write) asked for; EACCES for an attribute that is read-only.
    /// [`Unsupported`](io::ErrorKind::Unsupported) for a file that does nothing here when written.
    ///
    /// # Examples
    ///
    /// ```
    /// use node_sim::{Machine, Profile};
    ///
    /// let dir = node_sim::scratch()?;
    /// let node = Machine::profile(Profile::Xeon4xxx).write(dir.path())?;
    /// let [pf, vf] = ["bus/pci/devices/0000:6b:00.0", "bus/pci/devices/0000:6b:00.1"];
    ///
    /// // Services can only be changed while the device is down, and its VFs go with that.
    /// let refused = node.write_as_kernel(format!("{pf}/qat/cfg_services"), b"dc\n").unwrap_err();
    /// assert_eq!(refused.raw_os_error(), Some(22));
    /// node.write_as_kernel(format!("{pf}/qat/state"), b"down\n")?;
    /// node.write_as_kernel(format!("{pf}/qat/cfg_services"), b"dc\n")?;
    /// assert!(!node.sysfs().join(vf).exists());
    ///
    /// node.write_as_kernel(format!("{pf}/sriov_numvfs"), b"16\n")?;
    /// node.write_as_kernel(format!("{vf}/driver_override"), b"vfio-pci\n")?;
    /// node.write_as_kernel("bus/pci/drivers/vfio-pci/bind", b"0000:6b:00.1\n")?;
    /// assert!(node.dev().join("vfio/320").exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_as_kernel(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let path = self.resolve(path.as_ref())?;
        let mut state = self.state();
        let Some(ticket) = self.submit(&mut state, &path, bytes)? else {
            return Ok(());
        };
        loop {
            match state.kernel.log.outcome(ticket) {
                Some(WriteOutcome::Waiting) => state = self.wait(state),
                Some(WriteOutcome::Refused(errno)) => {
                    return Err(io::Error::from_raw_os_error(errno));
                }
                _ => return Ok(()),
            }
        }
    }

    /// The same without blocking.
    ///
    /// # Errors
    ///
    /// Also [`WouldBlock`](io::ErrorKind::WouldBlock): the kernel has begun, and the writer would
    /// hang now. It goes on when the function is [released](Self::release), as behind a
    /// writer that was abandoned.
    pub fn try_write_as_kernel(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let path = self.resolve(path.as_ref())?;
        let mut state = self.state();
        let Some(ticket) = self.submit(&mut state, &path, bytes)? else {
            return Ok(());
        };
        match state.kernel.log.outcome(ticket) {
            Some(WriteOutcome::Waiting) => Err(io::ErrorKind::WouldBlock.into()),
            Some(WriteOutcome::Refused(errno)) => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(()),
        }
    }

    /// A file's path below `/sys`, without links on the way.
    pub(super) fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let sysfs = self.sysfs().canonicalize()?;
        let path = sysfs.join(path);
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::ISDIR.into());
        };
        let dir = dir.canonicalize()?;
        let below = dir.strip_prefix(&sysfs).map_err(|_outside| Errno::XDEV)?;
        Ok(below.join(name))
    }

    /// Takes a write, unless it is of no bytes: those never reach a driver (`sysfs_kf_write`).
    pub(super) fn submit(
        &self,
        state: &mut State,
        path: &Path,
        bytes: &[u8],
    ) -> io::Result<Option<Ticket>> {
        let mode = self.sysfs().join(path).metadata()?.permissions().mode();
        let Some(target) = Target::parse(&state.machine, path) else {
            return Err(if mode & 0o222 == 0 {
                Errno::ACCESS.into()
            } else {
                io::ErrorKind::Unsupported.into()
            });
        };
        if bytes.is_empty() {
            return Ok(None);
        }
        let log = &mut state.kernel.log;
        let ticket = log.add(path, bytes, WriteOutcome::Waiting);
        let answer = self.order(state, ticket, target, bytes);
        let (settled, result) = match answer {
            Ok(false) => return Ok(Some(ticket)),
            Ok(true) => (Ok(()), Ok(Some(ticket))),
            Err(Refusal::Errno(errno)) => (Err(errno), Ok(Some(ticket))),
            Err(Refusal::Sim(error)) => (Err(Errno::IO), Err(error.into())),
        };
        state.kernel.log.settle(ticket, settled);
        result
    }

    /// Does a write, or begins it. True if it is done.
    fn order(
        &self,
        state: &mut State,
        ticket: Ticket,
        target: Target,
        bytes: &[u8],
    ) -> Answer<bool> {
        if let Some(faults) = state.kernel.faults.get_mut(&target)
            && let Some(errno) = faults.pop_front()
        {
            return Err(errno.into());
        }
        let locks: BTreeSet<PciAddress> = lock(&target, bytes).into_iter().collect();
        let mut pending = state.kernel.pending.iter();
        if pending.any(|pending| !pending.locks.is_disjoint(&locks)) {
            let work = Work::Write(target, bytes.to_owned());
            let ticket = Some(ticket);
            state.kernel.pending.push_back(Pending {
                ticket,
                locks,
                work,
            });
            return Ok(false);
        }
        match self.judge(state, &target, bytes)? {
            Some(row) => self.begin(state, Some(ticket), row),
            None => Ok(true),
        }
    }

    /// Does a write, or says in which steps it is done.
    pub(super) fn judge(
        &self,
        state: &mut State,
        target: &Target,
        bytes: &[u8],
    ) -> Answer<Option<Row>> {
        match target {
            Target::Bind(driver) => self.bind_store(state, driver, bytes)?,
            Target::Unbind(driver) => return Self::unbind_store(state, driver, bytes).map(Some),
            Target::Probe => self.probe_store(state, bytes)?,
            Target::Of(pf, Knob::NumVfs) => return Self::num_vfs_store(state, *pf, bytes),
            Target::Of(pf, Knob::State) => return Self::state_store(state, *pf, bytes),
            Target::Of(of, Knob::Override) => self.override_store(state, *of, bytes)?,
            Target::Of(pf, Knob::Autoprobe) => self.autoprobe_store(state, *pf, bytes)?,
            Target::Of(pf, Knob::Services) => self.services_store(state, *pf, bytes)?,
            Target::Of(pf, Knob::AutoReset) => self.auto_reset_store(state, *pf, bytes)?,
            Target::Of(pf, Knob::PmIdle) => self.pm_idle_store(state, *pf, bytes)?,
            Target::Of(pf, Knob::ResetErrors) => self.reset_errors_store(state, *pf, bytes)?,
        }
        Ok(None)
    }
}

/// The function whose device lock a write takes.
fn lock(target: &Target, bytes: &[u8]) -> Option<PciAddress> {
    match target {
        Target::Bind(_) | Target::Unbind(_) | Target::Probe => words::address(bytes).ok(),
        Target::Of(pf, Knob::NumVfs | Knob::State) => Some(*pf),
        Target::Of(..) => None,
    }
}
