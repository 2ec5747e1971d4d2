//! Who a function is, from the one attribute that says it all.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;

use crate::ids::{ClassCode, PciId};
use crate::text::{ParseError, hex, serde_as_text};

const EXPECTED: &str = "a PCI modalias such as \
    `pci:v00008086d00001520sv00008086sd00000000bc02sc00i00`";

/// The ids and the class of a function, as its `modalias` attribute holds them.
///
/// `modalias` exists to find a kernel module for a device, and for that it holds vendor, device,
/// subsystem and class in one line (`drivers/pci/pci-sysfs.c`, `modalias_show`). One read of it
/// replaces five of `vendor`, `device`, `subsystem_vendor`, `subsystem_device` and `class`. The
/// kernel prints it from memory and takes no lock, so the read works for a dead device too and
/// never waits.
///
/// ```
/// use sysfs_pci::{Identity, PciId};
///
/// let line = "pci:v00008086d00001520sv00008086sd00000000bc02sc00i00";
/// let identity: Identity = line.parse()?;
/// assert_eq!(identity.id, PciId::new(0x8086, 0x1520));
/// assert_eq!(identity.class.to_string(), "0x020000");
/// assert_eq!(identity.to_string(), line);
/// # Ok::<(), sysfs_pci::ParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Identity {
    /// Vendor and device.
    pub id: PciId,
    /// Vendor and device of the board or package.
    pub subsystem: PciId,
    /// What kind of thing it is.
    pub class: ClassCode,
}

impl Identity {
    fn parse(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix("pci:")?;
        let id = PciId::new(word(&mut rest, "v")?, word(&mut rest, "d")?);
        let subsystem = PciId::new(word(&mut rest, "sv")?, word(&mut rest, "sd")?);
        let class = ClassCode::from_bytes(
            byte(&mut rest, "bc")?,
            byte(&mut rest, "sc")?,
            byte(&mut rest, "i")?,
        );
        rest.is_empty().then_some(Self {
            id,
            subsystem,
            class,
        })
    }
}

/// Takes `key` and eight digits off the front; ids have 16 bits though 32 are printed.
fn word(rest: &mut &str, key: &str) -> Option<u16> {
    u16::try_from(take(rest, key, 8)?).ok()
}

/// Takes `key` and two digits off the front.
fn byte(rest: &mut &str, key: &str) -> Option<u8> {
    u8::try_from(take(rest, key, 2)?).ok()
}

fn take(rest: &mut &str, key: &str, digits: usize) -> Option<u32> {
    let (number, after) = rest.strip_prefix(key)?.split_at_checked(digits)?;
    *rest = after;
    hex(number, digits)
}

impl Display for Identity {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(
            f,
            "pci:v{:08X}d{:08X}sv{:08X}sd{:08X}bc{:02X}sc{:02X}i{:02X}",
            self.id.vendor,
            self.id.device,
            self.subsystem.vendor,
            self.subsystem.device,
            self.class.base(),
            self.class.sub(),
            self.class.interface(),
        )
    }
}

impl FromStr for Identity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| ParseError::new(text, EXPECTED))
    }
}

serde_as_text!(Identity);
