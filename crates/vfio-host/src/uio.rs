//! Functions on a driver of the kernel's UIO, the older way to user space, without an IOMMU.
//!
//! A UIO driver (`igb_uio`, which is out of tree, and `uio_pci_generic`) makes a device `uio<N>` for each
//! function: `<function>/uio/uio<N>` in sysfs with its numbers in `dev`, and the node `/dev/uio<N>`
//! (`Documentation/driver-api/uio-howto.rst`). A program waits for interrupts on the node. Registers and
//! the rest it finds through `/sys/class/uio/uio<N>/device`, which leads to the function's directory, so it
//! needs that as well, to write to it too.
//!
//! **Nothing confines such a function.** Its DMA reaches all memory that the IOMMU, if there is one, lets
//! the kernel's own devices reach. And nothing on the machine tells whether it is in use: the driver
//! enables the function when it is bound.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sysfs_pci::{DriverName, PciAddress, SysfsRoot, decimal, fs};
use thiserror::Error;

use crate::error::chain;
use crate::node::{expect_numbers, read_numbers, reason};
use crate::{DevRoot, Host, NodeError};

/// The device of a function on a UIO driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UioNode {
    /// The node, `/dev/uio<N>`. In a container it has the same path.
    pub host_path: PathBuf,
    /// The directory of the function's attributes, `/sys/class/uio/uio<N>/device`. The same.
    pub attributes: PathBuf,
}

/// Why a function on a UIO driver cannot be handed out now.
///
/// The text is a sentence for the person who reads `kubectl describe pod`. It is complete in itself, so
/// there is no [`source`](std::error::Error::source).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UioRefusal {
    /// The function is not there any more.
    #[error("PCI function {address} is no longer on this node")]
    Gone {
        /// The function.
        address: PciAddress,
    },
    /// No driver is bound.
    #[error("PCI function {address} has no driver; bind it to `{wanted}` on the node")]
    NoDriver {
        /// The function.
        address: PciAddress,
        /// The driver that would do.
        wanted: DriverName,
    },
    /// Another driver is bound.
    #[error("PCI function {address} is bound to `{driver}`; bind it to `{wanted}` on the node")]
    WrongDriver {
        /// The function.
        address: PciAddress,
        /// The driver that is bound.
        driver: DriverName,
        /// The driver that would do.
        wanted: DriverName,
    },
    /// The device node is missing or unusable.
    #[error(
        "PCI function {address} cannot be opened: {error}; bind the function again, and check that the \
         device plugin sees the node's /dev"
    )]
    Node {
        /// The function.
        address: PciAddress,
        /// What is wrong with the node.
        error: NodeError,
    },
    /// The machine could not be asked.
    #[error(
        "PCI function {address} cannot be checked: {reason}; check that the device plugin can read the \
         node's sysfs"
    )]
    Read {
        /// The function.
        address: PciAddress,
        /// What went wrong, as text.
        reason: String,
    },
}

/// Looks for the UIO device of a function and its node, and compares the numbers of the two.
///
/// One listing, 3 calls for the numbers in sysfs and 1 for the node.
///
/// # Errors
///
/// [`NodeError::NoUio`] when the function has no UIO device, so is on no UIO driver; the others when the
/// node is missing, is another device's or cannot be looked at.
pub fn uio_node(
    sysfs: &SysfsRoot,
    dev: &DevRoot,
    address: PciAddress,
) -> Result<UioNode, NodeError> {
    let directory = sysfs.pci_device(address).join("uio");
    let none = || NodeError::NoUio {
        path: directory.clone(),
    };
    let entries = match fs::list(&directory) {
        Ok(entries) => entries,
        Err(error) if error.is_gone() => return Err(none()),
        Err(error) => return Err(NodeError::unreadable(&directory, reason(&error))),
    };
    // A function has one; the lowest number is a choice that does not change.
    let numbers = entries.iter().filter_map(|entry| number(&entry.name));
    let name = format!("uio{}", numbers.min().ok_or_else(none)?);
    let expected = read_numbers(&directory.join(&name).join("dev"))?.ok_or_else(none)?;
    expect_numbers(&dev.join(&name), expected)?;
    Ok(UioNode {
        host_path: Path::new("/dev").join(&name),
        attributes: Path::new("/sys/class/uio").join(&name).join("device"),
    })
}

/// The N of `uio<N>`.
fn number(name: &str) -> Option<u32> {
    decimal(name.strip_prefix("uio")?)
}

impl Host {
    /// Asks the machine whether a function on a UIO driver can be handed out now: it is on `wanted`, and
    /// has its device and node. IOMMU groups do not matter, nor does the enable count.
    ///
    /// It makes the calls of [`uio_node`] and 1 for the driver.
    ///
    /// # Errors
    ///
    /// [`UioRefusal`], with the sentence for the pod's events.
    pub fn recheck_uio(
        &self,
        address: PciAddress,
        wanted: &DriverName,
    ) -> Result<UioNode, UioRefusal> {
        let gone_or = |refusal| match fs::stat(&self.sysfs.pci_device(address)) {
            Ok(_) => refusal,
            Err(_) => UioRefusal::Gone { address },
        };
        match sysfs_pci::driver(&self.sysfs, address) {
            Ok(Some(driver)) if driver == *wanted => {}
            Ok(Some(driver)) => {
                return Err(UioRefusal::WrongDriver {
                    address,
                    driver,
                    wanted: wanted.clone(),
                });
            }
            Ok(None) => {
                return Err(gone_or(UioRefusal::NoDriver {
                    address,
                    wanted: wanted.clone(),
                }));
            }
            Err(error) => {
                let reason = chain(&error);
                return Err(gone_or(UioRefusal::Read { address, reason }));
            }
        }
        uio_node(&self.sysfs, &self.dev, address)
            .map_err(|error| gone_or(UioRefusal::Node { address, error }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_number() {
        assert_eq!(number("uio0"), Some(0));
        assert_eq!(number("uio17"), Some(17));
        for name in ["uio", "uio-1", "uio1x", "power", "uio:uio0", ""] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
