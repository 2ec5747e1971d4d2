//! The name of a kernel driver.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;
use std::sync::Arc;

use crate::text::{ParseError, serde_as_text};

const EXPECTED: &str = "a driver name such as `vfio-pci`: \
    1 to 4094 bytes on one line, without `/`, and not `.` or `..`";

/// Longest text that `driver_override` takes.
const MAX: usize = 4094;

/// The name of a driver: a directory in `bus/pci/drivers`.
///
/// This is the driver's name, which need not be that of its module: the module `vfio_pci` has
/// the driver `vfio-pci`. Whatever this type holds can be joined to a path and written to
/// `driver_override`: it is not empty, names exactly one path component, is at most 4094 bytes
/// long (the kernel refuses more), and has no line end, where the kernel would cut it.
///
/// Clones share their text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DriverName(Arc<str>);

impl DriverName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for DriverName {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.pad(&self.0)
    }
}

impl AsRef<str> for DriverName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for DriverName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let one_component = !matches!(text, "" | "." | "..");
        if one_component && text.len() <= MAX && !text.contains(['/', '\0', '\n']) {
            Ok(Self(text.into()))
        } else {
            Err(ParseError::new(text, EXPECTED))
        }
    }
}

impl TryFrom<&str> for DriverName {
    type Error = ParseError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for DriverName {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

serde_as_text!(DriverName);
