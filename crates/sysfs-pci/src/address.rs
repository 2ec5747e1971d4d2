//! Where a function sits on the PCI buses of a machine.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;

use crate::text::{ParseError, hex, serde_as_text};

const EXPECTED: &str = "a full PCI address such as `0000:6b:00.1`";

/// The address of a PCI function: domain, bus, device and function number.
///
/// The text form is that of sysfs, lower case and always with the domain. The domain has four
/// digits on most machines and more behind an Intel VMD controller (`10000:e1:00.0`). Addresses
/// sort by domain, bus, device, function, which is also the order of enumeration.
///
/// Parsing takes the full form only, with hexadecimal digits of either case; the short form
/// without a domain that `lspci` prints is refused.
///
/// ```
/// use sysfs_pci::PciAddress;
///
/// let address: PciAddress = "0000:6B:00.1".parse()?;
/// assert_eq!(address.to_string(), "0000:6b:00.1");
/// assert_eq!(address.bus(), 0x6b);
/// assert!("6b:00.1".parse::<PciAddress>().is_err());
/// # Ok::<(), sysfs_pci::ParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl PciAddress {
    /// An address from its parts; `None` if `device` is above 31 or `function` above 7.
    #[must_use]
    pub const fn new(domain: u32, bus: u8, device: u8, function: u8) -> Option<Self> {
        if device > 0x1f || function > 7 {
            return None;
        }
        Some(Self {
            domain,
            bus,
            device,
            function,
        })
    }

    /// The PCI domain, called segment by ACPI.
    pub const fn domain(self) -> u32 {
        self.domain
    }

    /// The bus within the domain.
    pub const fn bus(self) -> u8 {
        self.bus
    }

    /// The device on the bus, 0 to 31.
    pub const fn device(self) -> u8 {
        self.device
    }

    /// The function of the device, 0 to 7.
    pub const fn function(self) -> u8 {
        self.function
    }

    fn parse(text: &str) -> Option<Self> {
        let (domain, rest) = text.split_once(':')?;
        let (bus, rest) = rest.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        if !(4..=8).contains(&domain.len()) {
            return None;
        }
        Self::new(
            hex(domain, domain.len())?,
            u8::try_from(hex(bus, 2)?).ok()?,
            u8::try_from(hex(device, 2)?).ok()?,
            u8::try_from(hex(function, 1)?).ok()?,
        )
    }
}

impl Display for PciAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(
            f,
            "{:04x}:{:02x}:{:02x}.{}",
            self.domain, self.bus, self.device, self.function
        )
    }
}

impl FromStr for PciAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| ParseError::new(text, EXPECTED))
    }
}

serde_as_text!(PciAddress);
