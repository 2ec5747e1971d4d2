//! What a machine has besides its functions: buses, drivers, modules, classes, roots.

use std::path::{Path, PathBuf};

use super::super::{Attribute, Machine, SimError, model::Iommu};
use super::{Tree, files, paths};

/// Where debugfs is mounted, below `/sys`.
pub(super) const DEBUGFS: &str = "kernel/debug";

/// Major and minor number of `/dev/null`, which every node leads to.
pub(super) const NODE_NUMBERS: &str = "1:3\n";

/// Where the plugin finds the kubelet, below the root of the machine.
pub(in super::super) const KUBELET_DIR: &str = "kubelet/device-plugins";

impl Tree {
    pub(super) fn write_host(&self, machine: &Machine) -> Result<(), SimError> {
        for dir in [
            "sys/bus/pci/devices",
            "sys/bus/pci/drivers",
            "sys/bus/pci/slots",
            "sys/class/iommu",
            "sys/class/misc",
            "sys/class/vfio",
            "sys/class/vfio-dev",
            "sys/devices/virtual",
            "sys/kernel/iommu_groups",
            "sys/module",
            "dev/vfio",
            KUBELET_DIR,
        ] {
            files::make_dir(&self.root.join(dir))?;
        }
        self.write_bus()?;
        self.write_modules(machine)?;
        self.write_iommu(machine)?;
        if machine.debugfs {
            let debugfs = self.sys(DEBUGFS);
            files::make_dir(&debugfs)?;
            files::set_mode(&debugfs, 0o700)?;
        }
        if machine.control_node {
            self.node(&self.root.join("dev/vfio/vfio"))?;
            let dir = Path::new("devices/virtual/misc/vfio");
            self.class_device(dir, "class/misc", Some("vfio/vfio"))?;
        }
        Ok(())
    }

    fn write_bus(&self) -> Result<(), SimError> {
        for name in ["drivers_probe", "rescan", "uevent"] {
            self.file(format!("bus/pci/{name}"), &Attribute::write_only())?;
        }
        let autoprobe = Attribute::read_write("1\n");
        self.file("bus/pci/drivers_autoprobe", &autoprobe)?;
        let alignment = Attribute::read_write("\n");
        self.file("bus/pci/resource_alignment", &alignment)
    }

    fn write_modules(&self, machine: &Machine) -> Result<(), SimError> {
        let yes_no = |yes: bool| if yes { "Y\n" } else { "N\n" };
        let vfio_pci = "module/vfio_pci/parameters";
        files::make_dir(&self.sys(vfio_pci))?;
        for (name, yes) in [
            ("disable_denylist", machine.denylist_disabled),
            ("disable_idle_d3", false),
            ("enable_sriov", machine.enable_sriov),
            ("nointxmask", false),
        ] {
            let text = Attribute::read_only(yes_no(yes));
            self.file(format!("{vfio_pci}/{name}"), &text)?;
        }
        let vfio = "module/vfio/parameters";
        files::make_dir(&self.sys(vfio))?;
        let no_iommu = yes_no(machine.iommu == Iommu::NoIommuMode);
        self.file(
            format!("{vfio}/enable_unsafe_noiommu_mode"),
            &Attribute::read_write(no_iommu),
        )?;
        self.ensure_driver("vfio-pci")?;
        Ok(())
    }

    fn write_iommu(&self, machine: &Machine) -> Result<(), SimError> {
        if matches!(machine.iommu, Iommu::None | Iommu::NoIommuMode) {
            return Ok(());
        }
        let dir = Path::new("devices/virtual/iommu/dmar0");
        files::make_dir(&self.sys(dir))?;
        self.link(&dir.join("subsystem"), Path::new("class/iommu"))?;
        self.link(Path::new("class/iommu/dmar0"), dir)
    }

    /// Makes the directory of a driver and that of its module, as loading it does, and returns the former.
    pub(super) fn ensure_driver(&self, driver: &str) -> Result<PathBuf, SimError> {
        let dir = paths::driver_dir(driver);
        if files::exists(&self.sys(&dir)) {
            return Ok(dir);
        }
        files::make_dir(&self.sys(&dir))?;
        self.watch_dir(&dir)?;
        for name in ["bind", "unbind", "new_id", "remove_id", "uevent"] {
            self.file(dir.join(name), &Attribute::write_only())?;
        }
        self.pipe_driver(driver)?;
        if let Some(module) = module_of(driver) {
            let module = Path::new("module").join(module);
            files::make_dir(&self.sys(module.join("drivers")))?;
            self.link(&dir.join("module"), &module)?;
            self.link(&module.join(format!("drivers/pci:{driver}")), &dir)?;
        }
        Ok(dir)
    }

    /// Whether a driver is loaded.
    pub(in super::super) fn has_driver(&self, driver: &str) -> bool {
        files::exists(&self.sys(paths::driver_dir(driver)))
    }

    /// A device that only exists in a class: its directory with `dev`, `uevent`
    /// and `subsystem`, and the link in the class. `node` is its name below `/dev`.
    pub(super) fn class_device(
        &self,
        dir: &Path,
        class: &str,
        node: Option<&str>,
    ) -> Result<(), SimError> {
        files::make_dir(&self.sys(dir))?;
        let mut uevent = String::new();
        if let Some(node) = node {
            self.file(dir.join("dev"), &Attribute::read_only(NODE_NUMBERS))?;
            uevent = format!("MAJOR=1\nMINOR=3\nDEVNAME={node}\n");
        }
        self.file(dir.join("uevent"), &Attribute::read_write(uevent))?;
        self.link(&dir.join("subsystem"), Path::new(class))?;
        let name = dir.file_name().unwrap_or_default();
        self.link(&Path::new(class).join(name), dir)
    }
}

/// The module of a driver; `None` for what is built in.
fn module_of(driver: &str) -> Option<String> {
    match driver {
        "pcieport" => None,
        "c6xx" => Some("qat_c62x".to_owned()),
        "c6xxvf" => Some("qat_c62xvf".to_owned()),
        "dh895xcc" | "dh895xccvf" | "c3xxx" | "c3xxxvf" | "4xxx" | "4xxxvf" | "420xx"
        | "420xxvf" | "6xxx" | "6xxxvf" => Some(format!("qat_{driver}")),
        _ => Some(driver.replace('-', "_")),
    }
}
