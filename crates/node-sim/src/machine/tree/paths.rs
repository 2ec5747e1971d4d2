//! Where things are, and the text of links between them.

use std::{
    fmt::Write as _,
    path::{Component, Path, PathBuf},
};

use sysfs_pci::PciAddress;

use super::super::{Machine, model::Role};

/// The directory of a function, below `/sys`.
///
/// A VF lies beside its PF, whatever its bus number says.
pub(super) fn device_dir(machine: &Machine, address: PciAddress) -> PathBuf {
    let mut names = vec![address];
    let mut at = match machine.functions.get(&address).map(|f| &f.role) {
        Some(Role::Vf { pf, .. }) => *pf,
        _ => address,
    };
    while let Some(bridge) = machine.functions.get(&at).and_then(|f| f.spec.behind) {
        names.push(bridge);
        at = bridge;
    }
    let mut dir = format!("devices/pci{:04x}:{:02x}", at.domain(), at.bus());
    for name in names.iter().rev() {
        // Writing to a string cannot fail.
        let _ = write!(dir, "/{name}");
    }
    PathBuf::from(dir)
}

/// The directory of a driver, below `/sys`.
pub(super) fn driver_dir(driver: &str) -> PathBuf {
    Path::new("bus/pci/drivers").join(driver)
}

/// The directory of an IOMMU group, below `/sys`.
pub(super) fn group_dir(group: u32) -> PathBuf {
    PathBuf::from(format!("kernel/iommu_groups/{group}"))
}

/// The text of a link in directory `from`, by the rule of `kernfs_get_target_path`:
/// up to the first directory that also holds the target, and down from there.
pub(super) fn link_text(from: &Path, target: &Path) -> PathBuf {
    let from: Vec<Component<'_>> = from.components().collect();
    let target: Vec<Component<'_>> = target.components().collect();
    let holders = target.len().saturating_sub(1);
    let common = from
        .iter()
        .zip(&target[..holders])
        .take_while(|(a, b)| a == b)
        .count();
    let up = from[common..].iter().map(|_| Component::ParentDir);
    up.chain(target[common..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(link: &str, target: &str, text: &str) {
        let from = Path::new(link).parent().unwrap();
        assert_eq!(link_text(from, Path::new(target)), Path::new(text));
    }

    #[test]
    fn links_read_as_the_kernel_writes_them() {
        let pf = "devices/pci0000:6b/0000:6b:00.0";
        let vf = "devices/pci0000:6b/0000:6b:00.1";
        let at = |dir: &str, name: &str| format!("{dir}/{name}");
        check(
            "bus/pci/devices/0000:6b:00.0",
            pf,
            "../../../devices/pci0000:6b/0000:6b:00.0",
        );
        check(&at(pf, "subsystem"), "bus/pci", "../../../bus/pci");
        check(&at(pf, "virtfn0"), vf, "../0000:6b:00.1");
        check(&at(vf, "physfn"), pf, "../0000:6b:00.0");
        check(
            &at(vf, "vfio-dev/vfio0/device"),
            vf,
            "../../../0000:6b:00.1",
        );
        check(
            &at(vf, "vfio-dev/vfio0/subsystem"),
            "class/vfio-dev",
            "../../../../../class/vfio-dev",
        );
        check(
            "class/vfio/320",
            "devices/virtual/vfio/320",
            "../../devices/virtual/vfio/320",
        );
        check(
            "kernel/iommu_groups/320/devices/0000:6b:00.1",
            vf,
            "../../../../devices/pci0000:6b/0000:6b:00.1",
        );
        check(
            "bus/pci/drivers/4xxx/module",
            "module/qat_4xxx",
            "../../../../module/qat_4xxx",
        );
    }
}
