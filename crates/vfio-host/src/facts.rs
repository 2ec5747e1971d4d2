//! Single facts about the host.

use rustix::fs::{StatVfsMountFlags, statvfs};
use sysfs_pci::{IommuGroupId, SysfsRoot, fs};

/// The name that the kernel gives to groups that it makes for no-IOMMU mode
/// (`drivers/vfio/group.c`).
const NO_IOMMU_GROUP: &str = "vfio-noiommu";

/// Whether a group is one that the kernel made for a device without an IOMMU.
///
/// 3 calls; 1 for usual groups, which have no `name`. A file that cannot be read counts as none.
pub fn is_no_iommu_group(sysfs: &SysfsRoot, group: IommuGroupId) -> bool {
    fs::read_text(&sysfs.iommu_group(group).join("name")).is_ok_and(|name| name == NO_IOMMU_GROUP)
}

/// Whether `vfio-pci` was loaded with `disable_denylist=1`, and so binds devices with known errata.
///
/// `None` when the module is not loaded, is older than Linux 5.9, or says something else than
/// `Y` or `N`. 3 calls, 1 when the file is missing.
pub fn denylist_disabled(sysfs: &SysfsRoot) -> Option<bool> {
    let path = sysfs.join("module/vfio_pci/parameters/disable_denylist");
    match fs::read_text(&path).ok()?.as_str() {
        "Y" => Some(true),
        "N" => Some(false),
        _ => None,
    }
}

/// Whether the kernel uses an IOMMU: `class/iommu` has an entry. Without one the directory exists
/// and is empty. One listing.
pub fn iommu_present(sysfs: &SysfsRoot) -> bool {
    fs::list(&sysfs.join("class/iommu")).is_ok_and(|entries| !entries.is_empty())
}

/// Whether drivers cannot be bound through this sysfs, because it is mounted read-only. 1 call.
///
/// A container runtime mounts its own sysfs read-only; what a pod mounts from the host is writable
/// unless it says otherwise. A mount that cannot be asked counts as writable.
pub fn is_read_only(sysfs: &SysfsRoot) -> bool {
    statvfs(sysfs.join("bus/pci/drivers").as_path())
        .is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::RDONLY))
}
