//! IOMMU groups and what VFIO makes of them
//! (Documentation/ABI/testing/sysfs-kernel-iommu_groups, Documentation/driver-api/vfio.rst).

use std::path::{Path, PathBuf};

use super::super::{
    Attribute, CdevNodes, Machine, SimError,
    model::{Function, Iommu},
};
use super::{Tree, files, paths};

/// The window of message signalled interrupts, which every x86 group has.
const MSI_WINDOW: &str = "0x00000000fee00000 0x00000000feefffff msi\n";

impl Tree {
    /// Puts a function into its IOMMU group. In no-IOMMU mode only VFIO drivers do that.
    pub(super) fn join_group(
        &self,
        machine: &Machine,
        function: &Function,
    ) -> Result<(), SimError> {
        let Some(group) = function.group else {
            return Ok(());
        };
        let group_dir = paths::group_dir(group);
        let members = group_dir.join("devices");
        if !files::exists(&self.sys(&members)) {
            self.make_group(machine, &group_dir)?;
        }
        let address = function.spec.address;
        let dir = paths::device_dir(machine, address);
        self.link(&dir.join("iommu_group"), &group_dir)?;
        self.link(&members.join(address.to_string()), &dir)
    }

    fn make_group(&self, machine: &Machine, group_dir: &Path) -> Result<(), SimError> {
        let (kind, regions) = match machine.iommu {
            Iommu::Translated => ("DMA-FQ\n", MSI_WINDOW),
            Iommu::Passthrough => ("identity\n", MSI_WINDOW),
            Iommu::None | Iommu::NoIommuMode => ("unknown\n", ""),
        };
        files::make_dir(&self.sys(group_dir.join("devices")))?;
        self.file(group_dir.join("type"), &Attribute::read_write(kind))?;
        let regions = Attribute::read_only(regions);
        self.file(group_dir.join("reserved_regions"), &regions)?;
        if machine.iommu == Iommu::NoIommuMode {
            let name = Attribute::read_only("vfio-noiommu\n");
            self.file(group_dir.join("name"), &name)?;
        }
        Ok(())
    }

    /// Takes a function out of its group; the last one takes the group with it.
    pub(super) fn leave_group(
        &self,
        machine: &Machine,
        function: &Function,
    ) -> Result<(), SimError> {
        let Some(group) = function.group else {
            return Ok(());
        };
        let address = function.spec.address;
        let dir = paths::device_dir(machine, address);
        files::remove(&self.sys(dir.join("iommu_group")))?;
        let group_dir = self.sys(paths::group_dir(group));
        let members = group_dir.join("devices");
        files::remove(&members.join(address.to_string()))?;
        if files::remove_dir_if_empty(&members) {
            files::remove_tree(&group_dir)?;
        }
        Ok(())
    }

    /// What a VFIO driver makes of a function: the group's node if it is the
    /// first of its group, then the device's own.
    pub(super) fn attach_vfio(
        &self,
        machine: &Machine,
        function: &Function,
    ) -> Result<(), SimError> {
        if machine.iommu == Iommu::NoIommuMode {
            self.join_group(machine, function)?;
        }
        let Some(group) = function.group else {
            return Ok(());
        };
        let name = group_name(machine, group);
        let dir = Path::new("devices/virtual/vfio").join(&name);
        if !files::exists(&self.sys(&dir)) {
            self.class_device(&dir, "class/vfio", Some(&format!("vfio/{name}")))?;
            if node_wanted(machine, group) {
                self.node(&self.group_node(machine, group))?;
            }
        }
        self.attach_cdev(machine, function)
    }

    /// `vfio-dev/vfioX` (Linux 6.1) and its node (6.6); without an IOMMU there is no node.
    fn attach_cdev(&self, machine: &Machine, function: &Function) -> Result<(), SimError> {
        let Some(number) = function.cdev else {
            return Ok(());
        };
        let device = paths::device_dir(machine, function.spec.address);
        let dir = device.join(format!("vfio-dev/vfio{number}"));
        let node = format!("vfio/devices/vfio{number}");
        let built = machine.cdev != CdevNodes::NotBuilt && machine.iommu != Iommu::NoIommuMode;
        self.class_device(&dir, "class/vfio-dev", built.then_some(&node))?;
        self.link(&dir.join("device"), &device)?;
        if built && machine.cdev == CdevNodes::Present {
            files::make_dir(&self.root.join("dev/vfio/devices"))?;
            self.node(&self.root.join("dev").join(node))?;
        }
        Ok(())
    }

    /// The reverse, for a function that `machine` still shows with its VFIO driver.
    pub(super) fn detach_vfio(
        &self,
        machine: &Machine,
        function: &Function,
    ) -> Result<(), SimError> {
        if let Some(number) = function.cdev {
            let device = paths::device_dir(machine, function.spec.address);
            let name = format!("vfio{number}");
            let nodes = self.root.join("dev/vfio/devices");
            files::remove(&nodes.join(&name))?;
            // devtmpfs takes the directories that it made away again.
            files::remove_dir_if_empty(&nodes);
            files::remove(&self.sys("class/vfio-dev").join(&name))?;
            let dir = self.sys(device.join("vfio-dev"));
            if files::exists(&dir) {
                files::remove_tree(&dir)?;
            }
        }
        let Some(group) = function.group else {
            return Ok(());
        };
        let last =
            vfio_members(machine, group).all(|member| member.spec.address == function.spec.address);
        if last {
            let name = group_name(machine, group);
            files::remove(&self.group_node(machine, group))?;
            files::remove(&self.sys("class/vfio").join(&name))?;
            let dir = self.sys("devices/virtual/vfio").join(&name);
            if files::exists(&dir) {
                files::remove_tree(&dir)?;
            }
        }
        if machine.iommu == Iommu::NoIommuMode {
            self.leave_group(machine, function)?;
        }
        Ok(())
    }

    /// The node of a group, `/dev/vfio/N` or `/dev/vfio/noiommu-N`.
    fn group_node(&self, machine: &Machine, group: u32) -> PathBuf {
        self.root.join("dev/vfio").join(group_name(machine, group))
    }

    pub(in super::super) fn remove_group_node(
        &self,
        machine: &Machine,
        group: u32,
    ) -> Result<(), SimError> {
        files::remove(&self.group_node(machine, group))
    }

    pub(in super::super) fn add_group_node(
        &self,
        machine: &Machine,
        group: u32,
    ) -> Result<(), SimError> {
        let node = self.group_node(machine, group);
        if vfio_members(machine, group).next().is_none() {
            return Err(SimError::NoVfioGroup { group });
        }
        if files::exists(&node) {
            return Ok(());
        }
        self.node(&node)
    }
}

fn group_name(machine: &Machine, group: u32) -> String {
    match machine.iommu {
        Iommu::NoIommuMode => format!("noiommu-{group}"),
        _ => group.to_string(),
    }
}

fn vfio_members(machine: &Machine, group: u32) -> impl Iterator<Item = &Function> {
    machine.functions.values().filter(move |function| {
        function.group == Some(group) && machine.is_vfio(function.spec.driver.as_deref())
    })
}

fn node_wanted(machine: &Machine, group: u32) -> bool {
    vfio_members(machine, group).all(|member| member.node)
}
