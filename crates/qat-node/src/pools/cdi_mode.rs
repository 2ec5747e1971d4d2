//! How much of CDI a pool has.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use thiserror::Error;

/// How much of CDI a pool has; [`device_plugin::cdi`] says what CDI is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum CdiMode {
    /// None: the answer's nodes do for everybody but Kata's cold plug.
    #[default]
    Off,
    /// A file that describes the pool's VFs, which Kata's cold plug looks them up in. Container runtimes do not hear of it.
    Spec,
    /// The file, and in each answer the names of the VFs in it, so that the container runtime applies it: for owner and
    /// mode of nodes. Needs a runtime that knows CDI (containerd 1.7, CRI-O 1.23) and a kubelet of 1.29.
    Field,
}

/// A text that is no choice of CDI.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("`{text}` is no choice of CDI; there are off, spec and field")]
pub struct CdiModeError {
    /// What was given.
    pub text: String,
}

impl CdiMode {
    const ALL: [Self; 3] = [Self::Off, Self::Spec, Self::Field];
}

impl FromStr for CdiMode {
    type Err = CdiModeError;

    fn from_str(text: &str) -> Result<Self, CdiModeError> {
        let found = Self::ALL.into_iter().find(|mode| mode.to_string() == text);
        found.ok_or_else(|| CdiModeError {
            text: text.to_owned(),
        })
    }
}

impl Display for CdiMode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Spec => "spec",
            Self::Field => "field",
        })
    }
}
