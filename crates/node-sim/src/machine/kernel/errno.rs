//! What a write can come to besides success.

use std::io;

use rustix::io::Errno;

use super::super::{DescriptionError, SimError};

/// Why a write was not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The kernel's answer.
    Errno(Errno),
    /// The tree could not be changed, which no kernel knows.
    Sim(SimError),
}

/// What a rule of the kernel comes to.
pub(super) type Answer<T = ()> = Result<T, Refusal>;

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<SimError> for Refusal {
    fn from(error: SimError) -> Self {
        Self::Sim(error)
    }
}

impl From<DescriptionError> for Refusal {
    fn from(error: DescriptionError) -> Self {
        match error {
            // It went away between look-up and use.
            DescriptionError::UnknownFunction { .. } => Self::Errno(Errno::NODEV),
            other => Self::Sim(other.into()),
        }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Errno(errno) => errno.into(),
            Refusal::Sim(error) => error.into(),
        }
    }
}
