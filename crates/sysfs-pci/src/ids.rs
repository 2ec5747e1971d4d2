//! What a function is: vendor and device id, and class code.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;

use crate::text::{ParseError, hex, serde_as_text};

const EXPECTED_ID: &str = "a pair of PCI ids such as `8086:1520`";
const EXPECTED_CLASS: &str = "a PCI class code such as `0x020000`";

/// A vendor and a device id, written `8086:1520`.
///
/// Only the pair means something: the same device id under another vendor is another thing.
/// Subsystem ids have the same form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PciId {
    /// Who made it, as assigned by the PCI-SIG.
    pub vendor: u16,
    /// Which of the vendor's devices it is.
    pub device: u16,
}

/// The 24-bit class code of a function, written as sysfs does: `0x020000`.
///
/// Three bytes: base class, sub-class, programming interface. `0x020000` is an Ethernet
/// controller, `0x0b4000` a co-processor. A class never identifies a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClassCode(u32);

// === impl PciId ===

impl PciId {
    /// A pair of ids.
    #[must_use]
    pub const fn new(vendor: u16, device: u16) -> Self {
        Self { vendor, device }
    }
}

impl Display for PciId {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{:04x}:{:04x}", self.vendor, self.device)
    }
}

impl FromStr for PciId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once(':')
            .and_then(|(vendor, device)| {
                Some(Self::new(
                    u16::try_from(hex(vendor, 4)?).ok()?,
                    u16::try_from(hex(device, 4)?).ok()?,
                ))
            })
            .ok_or_else(|| ParseError::new(text, EXPECTED_ID))
    }
}

serde_as_text!(PciId);

// === impl ClassCode ===

impl ClassCode {
    /// A class code; `None` if `code` needs more than 24 bits.
    #[must_use]
    pub const fn new(code: u32) -> Option<Self> {
        if code > 0x00ff_ffff {
            return None;
        }
        Some(Self(code))
    }

    pub(crate) const fn from_bytes(base: u8, sub: u8, interface: u8) -> Self {
        Self(u32::from_be_bytes([0, base, sub, interface]))
    }

    /// The whole code.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The base class: 0x02 is a network controller, 0x06 a bridge.
    pub const fn base(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    /// The sub-class within the base class.
    pub const fn sub(self) -> u8 {
        self.0.to_be_bytes()[2]
    }

    /// The programming interface within the sub-class.
    pub const fn interface(self) -> u8 {
        self.0.to_be_bytes()[3]
    }
}

impl Display for ClassCode {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "0x{:06x}", self.0)
    }
}

impl FromStr for ClassCode {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix("0x")
            .and_then(|digits| hex(digits, 6))
            .map(Self)
            .ok_or_else(|| ParseError::new(text, EXPECTED_CLASS))
    }
}

serde_as_text!(ClassCode);
