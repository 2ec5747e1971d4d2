//! Commands that may never return, given by a process that can be left behind.
//!
//! The kernel unbinds a function from a VFIO driver when the process that has it open lets go, which
//! may be never, and whoever wrote to `unbind`, to `sriov_numvfs` or to an attribute of the driver that
//! removes virtual functions waits with it. A signal does not end that: a thread in such a write keeps
//! its whole process from exiting. So the write is made in a **worker**: a child process, started from
//! the same binary, that takes one request after another and answers each. When an answer does not
//! come in time the worker is *abandoned*: it is neither waited for nor killed (a kill would only turn
//! its sleep into one that cannot be interrupted), and it ends by itself when the kernel returns.
//!
//! ```text
//! caller ── request, one line of JSON ──► worker ──► one read or write in sysfs
//!        ◄─ answer,  one line of JSON ──
//! ```
//!
//! Both lines go over the worker's standard input, which is a socket. Its standard output is the file of
//! the [`DeviceLock`](crate::DeviceLock), so that the device stays locked while a command is in the kernel,
//! even if the caller is killed meanwhile. A worker whose caller is gone ends after the command that it
//! is at.
//!
//! The same seam serves tests: [`Hands`] is what gives commands, and a simulated kernel can be one.

mod call;
mod serve;

use std::collections::BTreeMap;
use std::io::Error as IoError;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sysfs_pci::{AttrError, DriverName, PciAddress, Write, WriteError};
use thiserror::Error;

pub use self::call::{Abandoned, Patience, Worker, WorkerCommand};
pub use self::serve::{ServeError, serve};

/// Gives commands to the kernel, or has them given.
pub trait Hands {
    /// Gives a command.
    ///
    /// # Errors
    ///
    /// [`HandsError`].
    fn write(&mut self, command: &Write) -> Result<(), HandsError>;

    /// Reads which driver alone may bind to a function.
    ///
    /// # Errors
    ///
    /// [`HandsError`].
    fn driver_override(&mut self, address: PciAddress) -> Result<Option<DriverName>, HandsError>;

    /// Reads how many virtual functions a physical function has, as the kernel counts them: not before a
    /// removal that goes on has ended.
    ///
    /// # Errors
    ///
    /// [`HandsError`].
    fn num_vfs(&mut self, address: PciAddress) -> Result<u16, HandsError>;
}

/// Why a command was not given, was not taken, or has no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HandsError {
    /// The kernel refused the command.
    #[error(transparent)]
    Refused(#[from] WriteError),
    /// An attribute could not be read.
    #[error(transparent)]
    Unreadable(#[from] AttrError),
    /// The kernel has not answered in time: the command may still be carried out, much later.
    #[error(
        "the kernel has not returned from `{command}` within {} s: a process has the function open and \
         does not let go of it; the command stays in the kernel until that process ends",
        waited.as_secs()
    )]
    Stuck {
        /// The command or read.
        command: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// No worker could be started.
    #[error("cannot start a process for commands that may block")]
    Start {
        /// What the kernel answered.
        #[source]
        source: IoError,
    },
    /// The worker ended or spoke nonsense: whether the command was given is not known.
    #[error("the process that was to give `{command}` has ended without an answer")]
    Lost {
        /// The command or read.
        command: String,
    },
}

/// What a worker is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    /// Give this command.
    Write(Write),
    /// Read this attribute of a function.
    Read {
        /// Which.
        attribute: Slow,
        /// The function.
        address: PciAddress,
    },
}

/// The attributes whose read can block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Slow {
    /// Which driver alone may bind.
    DriverOverride,
    /// How many virtual functions there are.
    NumVfs,
    /// What a uevent would say; has the line `DRIVER` while a driver is bound.
    Uevent,
}

/// What a worker answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    /// The command was taken.
    Done,
    /// What was read.
    Driver(Option<DriverName>),
    /// What was read.
    Number(u16),
    /// What was read.
    Lines(BTreeMap<String, String>),
    /// The kernel refused, with this number.
    Errno(i32),
    /// What was read is not what it should be.
    Invalid(String),
}

impl HandsError {
    /// Whether the function is gone, or the file never was there.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Refused(error) => error.is_gone(),
            Self::Unreadable(error) => error.is_gone(),
            _ => false,
        }
    }

    /// The kernel's number for a command that it refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused(error) => Some(error.errno()),
            _ => None,
        }
    }
}

impl Slow {
    fn name(self) -> &'static str {
        match self {
            Self::DriverOverride => "driver_override",
            Self::NumVfs => "sriov_numvfs",
            Self::Uevent => "uevent",
        }
    }
}

impl Request {
    /// The command that a person would type.
    fn text(&self) -> String {
        match self {
            Self::Write(command) => command.to_string(),
            Self::Read { attribute, address } => {
                format!("cat bus/pci/devices/{address}/{}", attribute.name())
            }
        }
    }
}
