//! Single services.

use std::fmt;
use std::str::FromStr;

use crate::services::ServiceSetError;

/// One thing a QAT device can be configured to do.
///
/// The order of the variants is the canonical order, the one in which newer kernels print
/// `qat/cfg_services` (`adf_cfg_services.c`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Service {
    /// Asymmetric (public key) cryptography.
    Asym,
    /// Symmetric cryptography: ciphers and hashes.
    Sym,
    /// Data compression and decompression.
    Dc,
    /// Data compression chained with hashing.
    Dcc,
    /// Decompression only (6xxx).
    Decomp,
}

impl Service {
    pub(crate) const ALL: [Self; 5] = [Self::Asym, Self::Sym, Self::Dc, Self::Dcc, Self::Decomp];

    /// Returns every service in canonical order.
    pub const fn all() -> &'static [Self] {
        &Self::ALL
    }

    /// Returns the kernel's word for the service.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asym => "asym",
            Self::Sym => "sym",
            Self::Dc => "dc",
            Self::Dcc => "dcc",
            Self::Decomp => "decomp",
        }
    }

    /// Returns the bit that stands for the service in a set.
    pub(crate) const fn bit(self) -> u8 {
        match self {
            Self::Asym => 1,
            Self::Sym => 2,
            Self::Dc => 4,
            Self::Dcc => 8,
            Self::Decomp => 16,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Service {
    type Err = ServiceSetError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|service| service.as_str() == word)
            .ok_or_else(|| ServiceSetError::Unknown {
                word: word.to_owned(),
            })
    }
}
