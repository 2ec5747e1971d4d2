//! Why a function was not bound or given back.

use std::fmt::{Display, Formatter, Result as FmtResult};

use sysfs_pci::{AttrError, DriverName, PciAddress};
use thiserror::Error;

use super::BindRefusal;
use crate::error::chain;
use crate::worker::HandsError;
use crate::{HostError, NodeError, StateError};

/// Why a function was not bound or given back, and what became of what was changed meanwhile.
#[derive(Debug, Error)]
#[error("{address}: {failure}{undo}")]
pub struct BindError {
    /// The function.
    pub address: PciAddress,
    /// What went wrong. It is part of the text, and so no source.
    pub failure: Failure,
    /// What became of what was changed before that.
    pub undo: Undo,
}

/// What became of changes that were made before a failure.
#[derive(Debug)]
#[non_exhaustive]
pub enum Undo {
    /// There were none.
    NothingToUndo,
    /// The function is as it was found.
    Done,
    /// A command is in the kernel, and others would wait for the same lock. The record is kept.
    NotTried,
    /// That failed as well. The record is kept, and giving the function back can be tried again.
    Failed(Box<Failure>),
}

/// What went wrong.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Failure {
    /// The function was unplugged, or removed by its physical function, meanwhile.
    #[error("it is gone")]
    Gone,
    /// The record cannot be written or read. Nothing was changed that is not recorded.
    #[error("what was found cannot be recorded: {}", chain(.0))]
    Record(#[from] StateError),
    /// A command was refused, or has no answer.
    #[error("{}", chain(.0))]
    Command(#[from] HandsError),
    /// An attribute could not be read.
    #[error("{}", chain(.0))]
    Read(#[from] AttrError),
    /// `driver_override` reads something else than was written.
    #[error(
        "`driver_override` was set to `{wanted}` and reads `{found}`; another program changes it at the \
         same time"
    )]
    Override {
        /// What was written; empty if it was cleared.
        wanted: String,
        /// What it reads.
        found: String,
    },
    /// `driver_override` may not be written, and without it the driver does not take the function.
    #[error(
        "`{driver}` does not take it, and `driver_override`, which would make it, cannot be written: \
         {refused}; mount the host's whole /sys (not only /sys/bus/pci) writable, and name the mount as \
         the sysfs root; where that is so, see the kernel's log for AppArmor or SELinux"
    )]
    NoOverride {
        /// The driver.
        driver: DriverName,
        /// The kernel's answer to the write.
        refused: String,
    },
    /// The kernel's answer to `bind`, where it says more than its number.
    #[error("`{driver}` refuses it: {meaning}")]
    Refused {
        /// The driver.
        driver: DriverName,
        /// What the number stands for.
        meaning: &'static str,
        /// The command and its number.
        #[source]
        source: HandsError,
    },
    /// Another driver takes it, again and again.
    #[error(
        "`{driver}` takes it each time that it is free; switch off what binds it to that driver"
    )]
    Snatched {
        /// That driver.
        driver: DriverName,
    },
    /// After the commands it has another driver than it should.
    #[error("its driver is {} and should be {}", named(found.as_ref()), named(wanted.as_ref()))]
    Driver {
        /// The driver that it should have.
        wanted: Option<DriverName>,
        /// The driver that it has.
        found: Option<DriverName>,
    },
    /// It is bound, and its group cannot be used.
    #[error("it is bound and cannot be used: {0}")]
    NotViable(BindRefusal),
    /// The group cannot be read.
    #[error("{}", chain(.0))]
    Host(#[from] HostError),
    /// It is bound and has no IOMMU group.
    #[error("it is bound and in no IOMMU group")]
    NoGroup,
    /// It is bound and its node is not right.
    #[error("it is bound and {0}; check that the host's /dev/vfio is what is seen here")]
    Node(NodeError),
}

impl Display for Undo {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self {
            Self::NothingToUndo => Ok(()),
            Self::Done => f.write_str("; what was changed is undone"),
            Self::NotTried => f.write_str(
                "; what was found is recorded and not restored, since the function is stuck in the kernel",
            ),
            Self::Failed(failure) => write!(
                f,
                "; undoing the change failed too: {failure}; what was found is recorded, and giving it \
                 back can be tried again"
            ),
        }
    }
}

fn named(driver: Option<&DriverName>) -> String {
    driver.map_or_else(|| "none".to_owned(), |driver| format!("`{driver}`"))
}

impl BindError {
    /// Whether a command is in the kernel and does not return: to try again would get stuck as well.
    pub fn is_stuck(&self) -> bool {
        let stuck =
            |failure: &Failure| matches!(failure, Failure::Command(HandsError::Stuck { .. }));
        let undo = match &self.undo {
            Undo::Failed(failure) => stuck(failure),
            _ => false,
        };
        stuck(&self.failure) || undo
    }

    /// Whether the function is gone.
    pub fn is_gone(&self) -> bool {
        matches!(self.failure, Failure::Gone)
    }
}
