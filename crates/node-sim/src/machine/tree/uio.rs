//! What a driver of the kernel's UIO makes of a function (Documentation/driver-api/uio-howto.rst).

use std::path::{Path, PathBuf};

use super::super::{Attribute, Machine, SimError, model::Function};
use super::{Tree, files, paths};

/// Drivers of UIO: DPDK's, and the kernel's own for anything.
const DRIVERS: [&str; 2] = ["igb_uio", "uio_pci_generic"];

/// Where the class lists its devices, below `/sys`.
const CLASS: &str = "class/uio";

/// More devices than any machine has.
const MAX_DEVICES: u32 = 1 << 16;

pub(super) fn is_uio(driver: &str) -> bool {
    DRIVERS.contains(&driver)
}

impl Tree {
    /// The device `uio/uioN` of a function and its node. N is the lowest that is free, as in the kernel
    /// (`idr_alloc` in drivers/uio/uio.c).
    pub(super) fn attach_uio(
        &self,
        machine: &Machine,
        function: &Function,
        driver: &str,
    ) -> Result<(), SimError> {
        files::make_dir(&self.sys(CLASS))?;
        let free = |number: &u32| !files::exists(&self.sys(CLASS).join(format!("uio{number}")));
        let number = (0..MAX_DEVICES).find(free).unwrap_or(MAX_DEVICES);
        let name = format!("uio{number}");
        let device = paths::device_dir(machine, function.spec.address);
        let dir = device.join("uio").join(&name);
        self.class_device(&dir, CLASS, Some(&name))?;
        self.file(
            dir.join("name"),
            &Attribute::read_only(format!("{driver}\n")),
        )?;
        self.file(dir.join("version"), &Attribute::read_only("0.1\n"))?;
        self.file(dir.join("event"), &Attribute::read_only("0\n"))?;
        self.link(&dir.join("device"), &device)?;
        self.node(&self.root.join("dev").join(name))
    }

    /// The reverse.
    pub(super) fn detach_uio(
        &self,
        machine: &Machine,
        function: &Function,
    ) -> Result<(), SimError> {
        let directory = paths::device_dir(machine, function.spec.address).join("uio");
        for name in self.uio_names(&directory) {
            files::remove(&self.root.join("dev").join(&name))?;
            files::remove(&self.sys(CLASS).join(&name))?;
        }
        let directory = self.sys(directory);
        if files::exists(&directory) {
            files::remove_tree(&directory)?;
        }
        Ok(())
    }

    /// What is in a directory `uio`. One that cannot be listed holds nothing.
    fn uio_names(&self, directory: &Path) -> Vec<PathBuf> {
        let entries = self.sys(directory).read_dir().into_iter().flatten();
        entries
            .flatten()
            .map(|entry| entry.file_name().into())
            .collect()
    }
}
