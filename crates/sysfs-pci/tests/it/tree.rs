//! A small sysfs in a temporary directory: network functions with SR-IOV, and others.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use sysfs_pci::{Depth, PciAddress, PciId, SysfsRoot};
use tempfile::TempDir;

/// The physical function of the tests.
pub(crate) const PF: PciId = PciId::new(0x8086, 0x1521);
/// Its virtual functions.
pub(crate) const VF: PciId = PciId::new(0x8086, 0x1520);
/// Something that nobody looks at closely.
pub(crate) const OTHER: PciId = PciId::new(0x8086, 0x2021);

/// How the tests look at each of them.
pub(crate) fn depth(id: PciId) -> Depth {
    match id {
        PF => Depth::Physical,
        VF => Depth::Function,
        _ => Depth::Identity,
    }
}

pub(crate) fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

pub(crate) struct Tree {
    directory: TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for path in ["bus/pci/devices", "devices/pci0000:00"] {
            fs::create_dir_all(directory.path().join(path)).unwrap();
        }
        Self { directory }
    }

    /// A physical function with `vfs` virtual functions, at `0000:<bus>:00.0` and behind it.
    pub(crate) fn with_pf(self, bus: u8, vfs: u16) -> Self {
        let pf = PciAddress::new(0, bus, 0, 0).unwrap();
        self.add(&pf.to_string(), PF);
        self.write(pf, "sriov_totalvfs", "64\n");
        self.link(pf, "driver", "../../../bus/pci/drivers/igb");
        self.group(pf, u32::from(bus));
        for index in 0..vfs {
            let vf = vf(bus, index);
            self.add(&vf.to_string(), VF);
            self.link(vf, "driver", "../../../bus/pci/drivers/vfio-pci");
            self.group(vf, 1000 + u32::from(bus) * 64 + u32::from(index));
            self.link(vf, "physfn", &format!("../{pf}"));
            self.link(pf, &format!("virtfn{index}"), &format!("../{vf}"));
        }
        self
    }

    /// Makes a function with the attributes that each one has.
    pub(crate) fn add(&self, name: &str, id: PciId) {
        let device = self.device(name);
        fs::create_dir_all(&device).unwrap();
        let modalias = format!(
            "pci:v{:08X}d{:08X}sv00008086sd00000002bc02sc00i00\n",
            id.vendor, id.device
        );
        fs::write(device.join("modalias"), modalias).unwrap();
        fs::write(device.join("numa_node"), "1\n").unwrap();
        symlink(
            format!("../../../devices/pci0000:00/{name}"),
            self.entry(name),
        )
        .unwrap();
    }

    /// Unplugs a function; its links elsewhere stay, dangling.
    pub(crate) fn remove(&self, address: PciAddress) {
        fs::remove_dir_all(self.device(&address.to_string())).unwrap();
    }

    /// Replaces the entry of a function by a new one, as if it had been plugged in again.
    pub(crate) fn renew(&self, address: PciAddress) {
        let entry = self.entry(&address.to_string());
        let target = fs::read_link(&entry).unwrap();
        self.bury(address);
        symlink(target, entry).unwrap();
    }

    /// Takes the entry of a function away, and keeps it elsewhere: its inode number is not to be used again, as in sysfs.
    pub(crate) fn bury(&self, address: PciAddress) {
        let graves = self.directory.path().join("graves");
        fs::create_dir_all(&graves).unwrap();
        let number = fs::read_dir(&graves).unwrap().count().to_string();
        fs::rename(self.entry(&address.to_string()), graves.join(number)).unwrap();
    }

    pub(crate) fn write(&self, address: PciAddress, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.device(&address.to_string()).join(name), content).unwrap();
    }

    pub(crate) fn link(&self, address: PciAddress, name: &str, target: &str) {
        let path = self.device(&address.to_string()).join(name);
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).unwrap();
        }
        symlink(target, path).unwrap();
    }

    pub(crate) fn unlink(&self, address: PciAddress, name: &str) {
        fs::remove_file(self.device(&address.to_string()).join(name)).unwrap();
    }

    pub(crate) fn group(&self, address: PciAddress, group: u32) {
        let target = format!("../../../kernel/iommu_groups/{group}");
        self.link(address, "iommu_group", &target);
    }

    /// Where a file of a function is.
    pub(crate) fn path(&self, address: PciAddress, name: &str) -> PathBuf {
        self.device(&address.to_string()).join(name)
    }

    pub(crate) fn root(&self) -> SysfsRoot {
        SysfsRoot::new(self.directory.path())
    }

    pub(crate) fn entry(&self, name: &str) -> PathBuf {
        self.directory.path().join("bus/pci/devices").join(name)
    }

    fn device(&self, name: &str) -> PathBuf {
        self.directory.path().join("devices/pci0000:00").join(name)
    }
}

/// The address of a virtual function in these trees: offset 8, stride 1.
pub(crate) fn vf(bus: u8, index: u16) -> PciAddress {
    let routing = 8 + index;
    let device = u8::try_from(routing / 8).unwrap();
    let function = u8::try_from(routing % 8).unwrap();
    PciAddress::new(0, bus, device, function).unwrap()
}
