//! What the kernel's answer to a step means.

use std::fmt;

use super::{DeviceState, PfStep};

/// What the kernel's answer to a step means. As text it is a sentence that says what to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The device resets itself, or the kernel's own cryptography or compression uses it.
    Busy,
    /// A kernel before 6.12 cannot remove VFs.
    CannotRemove,
    /// A kernel from 6.12 to 6.16 makes no VFs without an IOMMU.
    NeedsIommu,
    /// The kernel does not know that word, or not in this generation.
    UnknownServices,
    /// The device is down already.
    AlreadyDown,
    /// The driver of the PF went away, or never had the attribute.
    NoDriver,
    /// The firmware could not be started.
    Firmware,
    /// The machine's firmware has not left room for the VFs.
    NoRoom,
    /// More VFs than the device has.
    TooMany,
    /// This process may not write there.
    Forbidden,
    /// None of these.
    Other,
}

/// Says what an answer of the kernel to a step means (`errno(3)`; the numbers are those of Linux on all
/// machines).
pub fn explain(step: &PfStep, errno: i32) -> Cause {
    const EPERM: i32 = 1;
    const ENOENT: i32 = 2;
    const EIO: i32 = 5;
    const ENOMEM: i32 = 12;
    const EACCES: i32 = 13;
    const EFAULT: i32 = 14;
    const EBUSY: i32 = 16;
    const ENODEV: i32 = 19;
    const EINVAL: i32 = 22;
    const EROFS: i32 = 30;
    const ERANGE: i32 = 34;

    let vfs = matches!(step, PfStep::CreateVfs { .. } | PfStep::RemoveVfs);
    match (errno, step) {
        (EPERM | EACCES | EROFS, _) => Cause::Forbidden,
        (ENOENT | ENODEV, _) => Cause::NoDriver,
        (EBUSY, _) => Cause::Busy,
        (EINVAL, PfStep::RemoveVfs) => Cause::CannotRemove,
        (EINVAL, PfStep::CreateVfs { .. }) => Cause::NeedsIommu,
        (EINVAL, PfStep::Services { .. }) => Cause::UnknownServices,
        (EFAULT, _) => Cause::Firmware,
        (
            EINVAL,
            PfStep::State {
                to: DeviceState::Down,
            },
        ) => Cause::AlreadyDown,
        (EIO | ENOMEM, _) if vfs => Cause::NoRoom,
        (ERANGE, _) if vfs => Cause::TooMany,
        _ => Cause::Other,
    }
}

impl Cause {
    /// Whether the same step may succeed a moment later.
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Busy)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => {
                "the device is resetting itself, or the kernel's own cryptography or compression uses it \
                 (dm-crypt, IPsec, zswap): wait, or take its driver from those"
            }
            Self::CannotRemove => {
                "this kernel cannot remove the VFs of a QAT device (before 6.12); unbind the PF from its driver, \
                 or boot without them"
            }
            Self::NeedsIommu => {
                "the kernel makes no VFs: from 6.12 to 6.16 it wants an active IOMMU (VT-d in the firmware, \
                 `intel_iommu=on`), and before 6.12 this says that some are there"
            }
            Self::UnknownServices => {
                "the kernel does not know these services for this device, or the device is not down; \
                 a newer kernel may (sym or asym alone: 6.5, dcc: 6.7, decomp: 6.17)"
            }
            Self::AlreadyDown => "the device was down already, which a kernel before 6.2 refuses",
            Self::NoDriver => "the PF has lost its driver, or the driver has no such attribute",
            Self::Firmware => {
                "the firmware of the device could not be started; see the kernel's log, and whether the \
                 firmware files (qat_4xxx.bin and others) are installed"
            }
            Self::NoRoom => {
                "the machine's firmware has not left enough memory or bus numbers for the VFs; look for an \
                 SR-IOV or ARI switch there"
            }
            Self::TooMany => "the device has fewer VFs; look again",
            Self::Forbidden => {
                "this process may not write there; run it as root, and mount the host's whole /sys (not only \
                 /sys/bus/pci) writable; where that is so, see the kernel's log for AppArmor or SELinux"
            }
            Self::Other => "see the kernel's log",
        })
    }
}
