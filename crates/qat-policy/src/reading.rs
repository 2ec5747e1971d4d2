//! Reading the services of a PF.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sysfs_pci::{AttrError, DriverName, PciAddress, SysfsRoot, fs};

use crate::dev_cfg;
use crate::family::Family;
use crate::services::{ServiceSetError, Services};

/// The directory where debugfs is mounted; `/sys/kernel/debug` by default.
///
/// Its location is never derived from a device's path: a PF may stand behind any number of bridges.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DebugfsRoot(PathBuf);

/// What a PF says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PfReading {
    /// The services of the PF and of all its VFs.
    ///
    /// `Ok(None)`: there is nothing to read, because services cannot be chosen (generations 1 to
    /// 3), because no driver is bound, or because neither sysfs nor debugfs of this kernel says
    /// anything about services.
    pub services: Result<Option<Services>, ReadingError>,
}

/// Why the services of a PF are not known although something should tell them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadingError {
    /// This process must not read the file. debugfs is for uid 0 only.
    #[error("permission to read `{}` was denied; run as root", path.display())]
    Denied {
        /// The file.
        path: PathBuf,
    },
    /// The file is there but reading it failed.
    #[error(
        "services cannot be read: {reason}; the kernel log may say what is wrong with the device"
    )]
    Unreadable {
        /// What failed, with the path, as text.
        reason: String,
    },
    /// The file names no service.
    #[error("`{}` names no services; configure them and start the device anew", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else than services. If the kernel is right, this program is too
    /// old.
    #[error("`{}` holds `{value}`, which is not a set of services", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What it holds.
        value: String,
        /// What is wrong with that.
        #[source]
        source: ServiceSetError,
    },
}

impl DebugfsRoot {
    /// Takes a directory. Nothing is looked at.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the directory of a PF: `qat_<driver>_<address>`, with the name of the PF's driver,
    /// not of its family (`adf_dbgfs_init`).
    #[must_use]
    pub fn device(&self, family: Family, pf: PciAddress) -> PathBuf {
        self.0.join(format!("qat_{}_{pf}", family.spec().pf_driver))
    }
}

impl Default for DebugfsRoot {
    fn default() -> Self {
        Self::new("/sys/kernel/debug")
    }
}

/// Reads the services of a PF.
///
/// - Generations 1 to 3, and a PF without driver: nothing is read.
/// - Otherwise `qat/cfg_services` of the PF (`Documentation/ABI/testing/sysfs-driver-qat`, Linux
///   6.0): 3 file system calls. It can be read whether the device is up or down.
/// - Where that does not exist or is empty: `ServicesEnabled` in section `GENERAL` of `dev_cfg` in
///   debugfs: 3 calls more, and 1 for the file that was missing. Both exist only while a QAT driver
///   is bound.
/// - Where that does not say anything either: `Ok(None)`. There is no error to report, this kernel
///   has no such thing.
///
/// Neither file can block. What went wrong is part of the reading, so that it concerns the VFs of
/// this PF alone.
pub fn read_pf(
    sysfs: &SysfsRoot,
    debugfs: &DebugfsRoot,
    pf: PciAddress,
    driver: Option<&DriverName>,
    family: Family,
) -> PfReading {
    if !family.spec().services.is_configurable() || driver.is_none() {
        return PfReading { services: Ok(None) };
    }
    let attribute = sysfs.pci_device(pf).join("qat/cfg_services");
    let services = match fs::read_text(&attribute) {
        Ok(text) if text.trim().is_empty() => match read_dev_cfg(debugfs, pf, family) {
            Ok(None) => Err(ReadingError::Empty { path: attribute }),
            other => other,
        },
        Ok(text) => parsed(&attribute, &text, Services::parse(&text)),
        Err(error) if error.is_gone() => read_dev_cfg(debugfs, pf, family),
        Err(error) => Err(ReadingError::from_attr(&error)),
    };
    PfReading { services }
}

fn read_dev_cfg(
    debugfs: &DebugfsRoot,
    pf: PciAddress,
    family: Family,
) -> Result<Option<Services>, ReadingError> {
    let path = debugfs.device(family, pf).join("dev_cfg");
    let text = match fs::read_text(&path) {
        Ok(text) => text,
        Err(error) if error.is_gone() => return Ok(None),
        Err(error) => return Err(ReadingError::from_attr(&error)),
    };
    match dev_cfg::services_enabled(&text) {
        None => Ok(None),
        Some("") => Err(ReadingError::Empty { path }),
        Some(value) => parsed(&path, value, Services::parse_dev_cfg(value)),
    }
}

fn parsed(
    path: &Path,
    value: &str,
    result: Result<Services, ServiceSetError>,
) -> Result<Option<Services>, ReadingError> {
    result.map(Some).map_err(|source| ReadingError::Invalid {
        path: path.to_owned(),
        value: value.trim().escape_debug().take(80).collect(),
        source,
    })
}

impl ReadingError {
    fn from_attr(error: &AttrError) -> Self {
        match error {
            AttrError::Read { path, source } if source.kind() == ErrorKind::PermissionDenied => {
                Self::Denied { path: path.clone() }
            }
            AttrError::Read { source, .. } => Self::Unreadable {
                reason: format!("{error}: {source}"),
            },
            other => Self::Unreadable {
                reason: other.to_string(),
            },
        }
    }
}
