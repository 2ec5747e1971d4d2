//! Trees that look like sysfs and `/dev`, without root: a character device is a link to
//! `/dev/null`, whose numbers are 1:3.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sysfs_pci::{IommuGroupId, PciAddress, SysfsRoot};
use tempfile::TempDir;
use vfio_host::{DevRoot, Host, VfioDrivers};

pub(crate) struct Tree {
    directory: TempDir,
}

pub(crate) fn address(text: &str) -> PciAddress {
    text.parse().unwrap()
}

pub(crate) fn group(number: u32) -> IommuGroupId {
    IommuGroupId::new(number)
}

impl Tree {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for path in [
            "sys/bus/pci/devices",
            "sys/kernel/iommu_groups",
            "sys/class/iommu",
            "dev/vfio",
        ] {
            fs::create_dir_all(directory.path().join(path)).unwrap();
        }
        let tree = Self { directory };
        tree.node("vfio/vfio");
        tree
    }

    pub(crate) fn sysfs(&self) -> SysfsRoot {
        SysfsRoot::new(self.directory.path().join("sys"))
    }

    pub(crate) fn dev(&self) -> DevRoot {
        DevRoot::new(self.directory.path().join("dev"))
    }

    pub(crate) fn host(&self) -> Host {
        Host {
            sysfs: self.sysfs(),
            dev: self.dev(),
            drivers: VfioDrivers::default(),
        }
    }

    pub(crate) fn sys_path(&self, relative: &str) -> PathBuf {
        self.directory.path().join("sys").join(relative)
    }

    pub(crate) fn dev_path(&self, relative: &str) -> PathBuf {
        self.directory.path().join("dev").join(relative)
    }

    pub(crate) fn write(&self, relative: &str, text: impl AsRef<[u8]>) {
        let path = self.sys_path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn device_directory(&self, function: &str) -> PathBuf {
        self.sys_path("devices/pci0000:17").join(function)
    }

    /// A PCI function, idle, without driver and group.
    pub(crate) fn function(&self, function: &str) -> &Self {
        let directory = self.device_directory(function);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("enable"), "0\n").unwrap();
        fs::write(
            directory.join("modalias"),
            "pci:v00008086d00001520sv00008086sd00000000bc02sc00i00\n",
        )
        .unwrap();
        let entry = self.sys_path("bus/pci/devices").join(function);
        link(format!("../../../devices/pci0000:17/{function}"), &entry);
        self
    }

    pub(crate) fn bind(&self, function: &str, driver: &str) -> &Self {
        let target = format!("../../../bus/pci/drivers/{driver}");
        link(target, &self.device_directory(function).join("driver"));
        self
    }

    pub(crate) fn unbind(&self, function: &str) -> &Self {
        fs::remove_file(self.device_directory(function).join("driver")).unwrap();
        self
    }

    /// Puts a function into a group, under its own name.
    pub(crate) fn join(&self, function: &str, number: u32) -> &Self {
        self.join_as(function, number, function)
    }

    pub(crate) fn join_as(&self, function: &str, number: u32, name: &str) -> &Self {
        let members = self.sys_path(&format!("kernel/iommu_groups/{number}/devices"));
        fs::create_dir_all(&members).unwrap();
        link(
            format!("../../../../devices/pci0000:17/{function}"),
            &members.join(name),
        );
        let target = format!("../../../kernel/iommu_groups/{number}");
        link(target, &self.device_directory(function).join("iommu_group"));
        self
    }

    /// A member on another bus, with a driver.
    pub(crate) fn platform_member(&self, name: &str, number: u32, driver: &str) -> &Self {
        let directory = self.sys_path("devices/platform").join(name);
        fs::create_dir_all(&directory).unwrap();
        link(
            format!("../../../bus/platform/drivers/{driver}"),
            &directory.join("driver"),
        );
        let members = self.sys_path(&format!("kernel/iommu_groups/{number}/devices"));
        fs::create_dir_all(&members).unwrap();
        link(
            format!("../../../../devices/platform/{name}"),
            &members.join(name),
        );
        self
    }

    /// A node in `dev`, and its numbers 1:3.
    pub(crate) fn node(&self, relative: &str) -> &Self {
        let path = self.dev_path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink("/dev/null", path).unwrap();
        self
    }

    /// A function alone in its group, bound to `vfio-pci`, with its node: all is well.
    pub(crate) fn vfio_function(&self, function: &str, number: u32) -> &Self {
        self.function(function)
            .bind(function, "vfio-pci")
            .join(function, number);
        self.node(&format!("vfio/{number}"));
        self.write(&format!("class/vfio/{number}/dev"), "1:3\n");
        self
    }
}

fn link(target: impl AsRef<Path>, path: &Path) {
    if path.is_symlink() {
        fs::remove_file(path).unwrap();
    }
    symlink(target, path).unwrap();
}
