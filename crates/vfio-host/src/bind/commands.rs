//! Single commands and what their refusals mean.

use std::time::Duration;

use rustix::io::Errno;
use sysfs_pci::{DriverName, PciAddress, Write};

use super::Failure;
use super::verify::until;
use crate::worker::{Hands, HandsError};

pub(super) fn current_override(
    hands: &mut dyn Hands,
    address: PciAddress,
) -> Result<Option<DriverName>, Failure> {
    match hands.driver_override(address) {
        Err(error) if error.is_gone() => Err(Failure::Gone),
        read => Ok(read?),
    }
}

/// Writes `driver_override` and reads it back, for so long.
pub(super) fn set_override(
    hands: &mut dyn Hands,
    address: PciAddress,
    wanted: Option<&DriverName>,
    within: Duration,
) -> Result<(), Failure> {
    let command = Write::DriverOverride {
        address,
        driver: wanted.cloned(),
    };
    match hands.write(&command) {
        Err(error) if error.is_gone() => return Err(Failure::Gone),
        written => written?,
    }
    let text = |driver: Option<&DriverName>| driver.map_or_else(String::new, ToString::to_string);
    until(within, || {
        let found = hands.driver_override(address)?;
        if found.as_ref() == wanted {
            return Ok(());
        }
        Err(Failure::Override {
            wanted: text(wanted),
            found: text(found.as_ref()),
        })
    })
}

/// Whether a refusal of `bind` may be different a moment later: somebody else was at it, or the probe
/// was deferred.
pub(super) fn may_change(error: &HandsError) -> bool {
    [Errno::BUSY, Errno::AGAIN]
        .map(|errno| Some(errno.raw_os_error()))
        .contains(&error.errno())
}

/// What a refusal of `bind` means (`drivers/vfio/pci/vfio_pci.c`, `drivers/base/dd.c`).
pub(super) fn explain(driver: &DriverName, source: HandsError, refused: Option<&str>) -> Failure {
    let meaning = match source.errno().map(Errno::from_raw_os_error) {
        Some(Errno::NODEV) => {
            if let Some(refused) = refused {
                return Failure::NoOverride {
                    driver: driver.clone(),
                    refused: refused.to_owned(),
                };
            }
            "the driver does not know the device, or needs a physical function with another driver"
        }
        Some(Errno::NOENT) => "the driver is not loaded (any more)",
        Some(Errno::INVAL) => {
            "the device is on the driver's denylist, or in no IOMMU group; the kernel's log says which"
        }
        Some(Errno::BUSY) => {
            "it is a physical function with virtual ones, or somebody has its group"
        }
        _ => return source.into(),
    };
    Failure::Refused {
        driver: driver.clone(),
        meaning,
        source,
    }
}

pub(super) fn is_forbidden(failure: &Failure) -> bool {
    matches!(failure, Failure::Command(HandsError::Refused(error)) if error.is_forbidden())
}

pub(super) fn is_stuck(failure: &Failure) -> bool {
    matches!(failure, Failure::Command(error) if is_unanswered(error))
}

/// A command without an answer, for whatever cause: nothing more can be asked for.
pub(super) fn is_unanswered(error: &HandsError) -> bool {
    matches!(error, HandsError::Stuck { .. } | HandsError::Lost { .. })
}
