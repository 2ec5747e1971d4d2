//! Commands to the kernel: one write to one attribute.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::path::PathBuf;
use std::str::FromStr;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::address::PciAddress;
use crate::blocking::MayBlock;
use crate::driver::DriverName;
use crate::error::OsError;
use crate::fs::write_below;
use crate::root::SysfsRoot;
use crate::text::{ParseError, serde_as_text, shown};

/// A command to the kernel about one function: what is written to which attribute.
///
/// It is data: it can be planned, shown to a person and sent to another process. [`perform`] gives
/// it. The facts are those of `Documentation/ABI/testing/sysfs-bus-pci` and of the code behind it
/// (`drivers/base/bus.c`, `drivers/pci/pci-sysfs.c`, `drivers/pci/iov.c`).
///
/// Any of these can block for as long as a process has a function open, and `driver_override` can
/// behind another writer that does. A success says that the kernel has taken the command, and no more:
/// `driver_override` is a text that is not trimmed and not checked, and the driver link of a function is
/// what tells whether it is bound. Whoever writes reads back.
///
/// As text it is the command that a person would type.
///
/// [`perform`]: Self::perform
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Write {
    /// Says which driver alone may bind to a function from now on; `None`: any that knows its ids.
    ///
    /// A driver that is bound stays. Goes away with the function. Linux 3.16.
    DriverOverride {
        /// The function.
        address: PciAddress,
        /// The driver's name, which need not be that of its module.
        driver: Option<DriverName>,
    },
    /// Binds a function to a driver, and waits until the driver's probe has ended.
    ///
    /// `EBUSY` if any driver is bound; `ENODEV` if the driver does not match or the function is gone;
    /// else the error of the probe.
    Bind {
        /// The function.
        address: PciAddress,
        /// The driver.
        driver: DriverName,
    },
    /// Takes a function from its driver, and waits until the driver has let go.
    ///
    /// From a VFIO driver that is as long as a process has the function open. `ENODEV` if the function
    /// is gone or on another driver.
    Unbind {
        /// The function.
        address: PciAddress,
        /// The driver that it is bound to.
        driver: DriverName,
    },
    /// Lets the kernel look for a driver for a function that has none.
    ///
    /// Succeeds whether or not one is found.
    Probe {
        /// The function.
        address: PciAddress,
    },
    /// Says how many virtual functions a physical function is to have.
    ///
    /// Some drivers make all or none, whatever the number. `EBUSY` if there are some and another number,
    /// not 0, is asked for; `ERANGE` if it is too high; `ENOENT` without a driver that can.
    NumVfs {
        /// The physical function.
        address: PciAddress,
        /// How many.
        count: u16,
    },
    /// Says whether virtual functions that are made from now on are given to a driver at once. Linux 4.12.
    ///
    /// While it is off, a function without `driver_override` is bound to no driver at all.
    DriversAutoprobe {
        /// The physical function.
        address: PciAddress,
        /// Whether they are.
        on: bool,
    },
    /// Writes to an attribute that a driver has added to its function.
    Attribute {
        /// The function.
        address: PciAddress,
        /// The attribute.
        name: AttributeName,
        /// What to write; a line end is added.
        value: String,
    },
}

/// The name of an attribute below the directory of a function: `power/control`.
///
/// One or two components of ASCII letters, digits and `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AttributeName(String);

/// Why a command was not given or not taken.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A link on the way to the attribute leads out of the sysfs root (`EXDEV`).
    ///
    /// Nothing was written.
    #[error(
        "`{}` leads out of its sysfs root, so nothing was written; check what is mounted there",
        path.display()
    )]
    Outside {
        /// The attribute.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("cannot write `{value}` to `{}`: {error}", path.display())]
    Refused {
        /// The attribute.
        path: PathBuf,
        /// What was to be written, without the line end.
        value: String,
        /// What the kernel answered.
        error: OsError,
    },
}

// === impl Write ===

impl Write {
    /// The function that the command is about.
    pub fn address(&self) -> PciAddress {
        match self {
            Self::DriverOverride { address, .. }
            | Self::Bind { address, .. }
            | Self::Unbind { address, .. }
            | Self::Probe { address }
            | Self::NumVfs { address, .. }
            | Self::DriversAutoprobe { address, .. }
            | Self::Attribute { address, .. } => *address,
        }
    }

    /// The attribute, relative to the sysfs root.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let function = |name: &str| format!("bus/pci/devices/{}/{name}", self.address());
        PathBuf::from(match self {
            Self::DriverOverride { .. } => function("driver_override"),
            Self::Bind { driver, .. } => format!("bus/pci/drivers/{driver}/bind"),
            Self::Unbind { driver, .. } => format!("bus/pci/drivers/{driver}/unbind"),
            Self::Probe { .. } => "bus/pci/drivers_probe".to_owned(),
            Self::NumVfs { .. } => function("sriov_numvfs"),
            Self::DriversAutoprobe { .. } => function("sriov_drivers_autoprobe"),
            Self::Attribute { name, .. } => function(&name.0),
        })
    }

    /// What is written, without the line end.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::DriverOverride { driver, .. } => driver
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            Self::Bind { address, .. } | Self::Unbind { address, .. } | Self::Probe { address } => {
                address.to_string()
            }
            Self::NumVfs { count, .. } => count.to_string(),
            Self::DriversAutoprobe { on, .. } => u8::from(*on).to_string(),
            Self::Attribute { value, .. } => value.clone(),
        }
    }

    /// Gives the command: one `write` with a line end, which some attributes insist on and without
    /// which nothing can be cleared (a write of no bytes never reaches the driver core).
    ///
    /// The attribute must exist, and links on the way to it must stay below the root. Costs five
    /// calls.
    ///
    /// # Errors
    ///
    /// [`WriteError`].
    pub fn perform(&self, _: &MayBlock, root: &SysfsRoot) -> Result<(), WriteError> {
        let line = format!("{}\n", self.value());
        write_below(root.path(), &self.path(), line.as_bytes())
            .map_err(|errno| self.refused(root, errno.raw_os_error()))
    }

    /// The error for an answer of the kernel to this command, as in `errno(3)`: for those who have it
    /// given by another process.
    #[must_use]
    pub fn refused(&self, root: &SysfsRoot, errno: i32) -> WriteError {
        let path = root.join(self.path());
        match Errno::from_raw_os_error(errno) {
            Errno::XDEV => WriteError::Outside { path },
            errno => WriteError::Refused {
                path,
                value: shown(&self.value()),
                error: errno.into(),
            },
        }
    }
}

impl Display for Write {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "echo '{}' > {}", self.value(), self.path().display())
    }
}

// === impl AttributeName ===

impl FromStr for AttributeName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = |part: &str| {
            let mut bytes = part.bytes();
            !part.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if text.len() <= 255 && text.split('/').count() <= 2 && text.split('/').all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new(
                text,
                "the name of an attribute such as `power/control`",
            ))
        }
    }
}

impl Display for AttributeName {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.pad(&self.0)
    }
}

serde_as_text!(AttributeName);

// === impl WriteError ===

impl WriteError {
    /// The kernel's answer, as in `errno(3)`.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Outside { .. } => Errno::XDEV.raw_os_error(),
            Self::Refused { error, .. } => error.raw(),
        }
    }

    /// The attribute.
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Outside { path } | Self::Refused { path, .. } => path,
        }
    }

    /// Whether the file is not there or its function is gone: `ENOENT` or `ENODEV`.
    ///
    /// `bind` and `unbind` answer `ENODEV` also for a function that is there, and is on another driver or
    /// does not match.
    pub fn is_gone(&self) -> bool {
        [Errno::NOENT, Errno::NODEV]
            .map(Errno::raw_os_error)
            .contains(&self.errno())
    }

    /// Whether this process may not write there at all: `EROFS`, `EACCES` or `EPERM`.
    pub fn is_forbidden(&self) -> bool {
        [Errno::ROFS, Errno::ACCESS, Errno::PERM]
            .map(Errno::raw_os_error)
            .contains(&self.errno())
    }
}
