//! Where sysfs is.

use std::path::{Path, PathBuf};

use crate::address::PciAddress;
use crate::numbers::IommuGroupId;

/// The directory where sysfs is mounted; `/sys` by default.
///
/// Every path of this crate starts here. In a container the host's sysfs is often mounted
/// elsewhere, and a test has a tree of its own. All links in sysfs are relative, so a tree works
/// wherever it is, as long as the whole of it is there: the entries of `bus/pci/devices` are links
/// that climb to `devices`, and a mount of `bus/pci` alone leaves them dangling or, worse, leads
/// them into another sysfs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SysfsRoot(PathBuf);

impl SysfsRoot {
    /// A root at `path`. Nothing is checked here; a scan of a wrong root fails and names it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path below the root. `relative` must not start with `/`, or it replaces the root.
    #[must_use]
    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.0.join(relative)
    }

    /// `bus/pci/devices`, which has one link for each PCI function of the machine.
    #[must_use]
    pub fn pci_devices(&self) -> PathBuf {
        self.join("bus/pci/devices")
    }

    /// The entry of one function in `bus/pci/devices`.
    #[must_use]
    pub fn pci_device(&self, address: PciAddress) -> PathBuf {
        self.join(format!("bus/pci/devices/{address}"))
    }

    /// The directory of one IOMMU group.
    #[must_use]
    pub fn iommu_group(&self, group: IommuGroupId) -> PathBuf {
        self.join(format!("kernel/iommu_groups/{group}"))
    }
}

impl Default for SysfsRoot {
    fn default() -> Self {
        Self::new("/sys")
    }
}
