//! The tree on disk. Knows the layout of sysfs, not why a machine is as it is.

mod attributes;
mod files;
mod host;
mod paths;
mod pipes;
mod react;
mod uio;
mod vfio;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sysfs_pci::PciAddress;

use super::{
    Attribute, Machine, SimError,
    model::{Function, Iommu, Role},
};
use attributes::Files;
use files::Shared;
use watch::Watch;

pub(super) use attributes::files_of;
pub(super) use host::KUBELET_DIR;

/// What every device node of a tree leads to: a character device that anybody may open.
const NODE_TARGET: &str = "/dev/null";

/// Where the bus lists its functions, below `/sys`.
const DEVICES: &str = "bus/pci/devices";

fn entry(address: PciAddress) -> PathBuf {
    Path::new(DEVICES).join(address.to_string())
}

/// The directory that a machine is written into.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    /// Only while everything is written; later changes share nothing.
    shared: Mutex<Option<Shared>>,
    /// The inode numbers that entries of `bus/pci/devices` had which are gone.
    spent: Mutex<BTreeMap<PciAddress, BTreeSet<u64>>>,
    /// While a reactor is at work.
    watch: Mutex<Option<Watch>>,
}

impl Tree {
    /// Writes everything.
    pub(super) fn write(root: &Path, machine: &Machine) -> Result<Self, SimError> {
        let tree = Self {
            root: root.to_owned(),
            shared: Mutex::new(Some(Shared::default())),
            spent: Mutex::default(),
            watch: Mutex::default(),
        };
        tree.write_host(machine)?;
        for function in machine.functions.values() {
            tree.add(machine, function)?;
        }
        *tree.shared() = None;
        Ok(tree)
    }

    fn shared(&self) -> MutexGuard<'_, Option<Shared>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a file below `/sys`.
    fn file(&self, name: impl AsRef<Path>, attribute: &Attribute) -> Result<(), SimError> {
        let path = self.sys(name);
        match &mut *self.shared() {
            Some(shared) => shared.create(&path, attribute),
            None if self.is_watched() => files::replace(&self.root, &path, attribute),
            None => files::create(&path, attribute),
        }
    }

    /// Makes a link with this text.
    fn link_as(&self, path: &Path, text: &Path) -> Result<(), SimError> {
        match &mut *self.shared() {
            Some(shared) => shared.link(path, text),
            None => files::link(path, text),
        }
    }

    /// Makes what stands for a device node: a link to `/dev/null`, whose
    /// numbers sysfs carries as 1:3.
    fn node(&self, path: &Path) -> Result<(), SimError> {
        self.link_as(path, Path::new(NODE_TARGET))
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of a function, below `/sys`.
    pub(super) fn device_dir(machine: &Machine, address: PciAddress) -> PathBuf {
        paths::device_dir(machine, address)
    }

    /// A path below `/sys`.
    fn sys(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join("sys").join(relative)
    }

    /// Makes a link of the form that the kernel gives it; both paths are below `/sys`.
    fn link(&self, link: &Path, target: &Path) -> Result<(), SimError> {
        let from = link.parent().unwrap_or(Path::new(""));
        self.link_as(&self.sys(link), &paths::link_text(from, target))
    }

    /// Makes a function appear in the order of the kernel (`device_add`, then
    /// `pci_iov_sysfs_link`, then the driver): its directory is complete before
    /// `bus/pci/devices` shows it.
    pub(super) fn add(&self, machine: &Machine, function: &Function) -> Result<(), SimError> {
        let address = function.spec.address;
        let dir = paths::device_dir(machine, address);
        files::make_dir(&self.sys(&dir))?;
        self.watch_dir(&dir)?;
        self.sync(&Files::new(), &files_of(machine, function), &dir)?;
        self.link(&dir.join("subsystem"), Path::new("bus/pci"))?;
        self.enter(address, &dir)?;
        if machine.iommu != Iommu::NoIommuMode {
            self.join_group(machine, function)?;
        }
        if let Role::Vf { pf, index } = function.role {
            let pf_dir = paths::device_dir(machine, pf);
            self.link(&pf_dir.join(format!("virtfn{index}")), &dir)?;
            self.link(&dir.join("physfn"), &pf_dir)?;
        }
        self.attach(machine, function)
    }

    /// Makes a function disappear. Its driver is gone already, and so are what lies behind it and its VFs.
    pub(super) fn remove(&self, machine: &Machine, function: &Function) -> Result<(), SimError> {
        let address = function.spec.address;
        let dir = paths::device_dir(machine, address);
        self.leave(address)?;
        self.leave_group(machine, function)?;
        files::remove_tree(&self.sys(dir))
    }

    /// Makes the entry of a function in `bus/pci/devices`. The kernel gives each a new inode
    /// number, and a scan may rely on that to see that a function is another one.
    fn enter(&self, address: PciAddress, dir: &Path) -> Result<(), SimError> {
        let entry = entry(address);
        match self.spent().get(&address) {
            None => self.link(&entry, dir),
            Some(spent) => {
                let text = paths::link_text(Path::new(DEVICES), dir);
                files::link_anew(&self.root, &self.sys(entry), &text, spent)
            }
        }
    }

    fn leave(&self, address: PciAddress) -> Result<(), SimError> {
        let path = self.sys(entry(address));
        if files::exists(&path) {
            let inode = files::inode(&path)?;
            self.spent().entry(address).or_default().insert(inode);
        }
        files::remove(&path)
    }

    fn spent(&self) -> MutexGuard<'_, BTreeMap<PciAddress, BTreeSet<u64>>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the SR-IOV links of a VF away, which the kernel does before all else (`pci_iov_remove_virtfn`).
    pub(super) fn cut_from_pf(
        &self,
        machine: &Machine,
        address: PciAddress,
        (pf, index): (PciAddress, u16),
    ) -> Result<(), SimError> {
        let link = paths::device_dir(machine, pf).join(format!("virtfn{index}"));
        files::remove(&self.sys(link))?;
        files::remove(&self.sys(paths::device_dir(machine, address).join("physfn")))
    }

    /// What a successful probe of the function's driver leaves: both links
    /// first (`driver_sysfs_add`), then what the driver makes.
    pub(super) fn attach(&self, machine: &Machine, function: &Function) -> Result<(), SimError> {
        let Some(driver) = function.spec.driver.as_deref() else {
            return Ok(());
        };
        let dir = paths::device_dir(machine, function.spec.address);
        let driver_dir = self.ensure_driver(driver)?;
        self.link(&driver_dir.join(function.spec.address.to_string()), &dir)?;
        self.link(&dir.join("driver"), &driver_dir)?;
        if machine.is_vfio(Some(driver)) {
            self.attach_vfio(machine, function)?;
        } else if uio::is_uio(driver) {
            self.attach_uio(machine, function, driver)?;
        }
        Ok(())
    }

    /// The reverse: links first (`driver_sysfs_remove`), then what the driver made.
    pub(super) fn detach(&self, machine: &Machine, function: &Function) -> Result<(), SimError> {
        self.detach_links(machine, function.spec.address)?;
        if machine.is_vfio(function.spec.driver.as_deref()) {
            self.detach_vfio(machine, function)?;
        } else if function.spec.driver.as_deref().is_some_and(uio::is_uio) {
            self.detach_uio(machine, function)?;
        }
        Ok(())
    }

    /// The first half of that, after which a driver may have to wait. Links that are gone are fine.
    pub(super) fn detach_links(
        &self,
        machine: &Machine,
        address: PciAddress,
    ) -> Result<(), SimError> {
        let Some(driver) = machine.driver_of(address) else {
            return Ok(());
        };
        let of_driver = paths::driver_dir(driver).join(address.to_string());
        files::remove(&self.sys(of_driver))?;
        let dir = paths::device_dir(machine, address);
        files::remove(&self.sys(dir.join("driver")))
    }

    /// Brings the files of a function from one state to another. A file that
    /// is replaced changes at once: a reader never sees half of it.
    pub(super) fn sync(&self, before: &Files, after: &Files, dir: &Path) -> Result<(), SimError> {
        let mut made = PathBuf::new();
        for (name, attribute) in after {
            match before.get(name) {
                Some(old) if old == attribute => {}
                Some(_) => files::replace(&self.root, &self.sys(name), attribute)?,
                None => {
                    if let Some(parent) = name.parent()
                        && parent != made
                    {
                        files::make_dir(&self.sys(parent))?;
                        self.watch_dir(parent)?;
                        parent.clone_into(&mut made);
                    }
                    self.file(name, attribute)?;
                }
            }
        }
        // Last, so that whoever waits for it finds the rest done.
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            files::remove(&self.sys(name))?;
            let stop = if name.starts_with(dir) {
                dir
            } else {
                Path::new(host::DEBUGFS)
            };
            self.remove_empty(name, stop);
        }
        Ok(())
    }

    /// Removes the directories that a file was the last entry of, up to `stop`.
    fn remove_empty(&self, name: &Path, stop: &Path) {
        let above = name.ancestors().skip(1);
        for dir in above.take_while(|dir| *dir != stop && dir.starts_with(stop)) {
            if !files::remove_dir_if_empty(&self.sys(dir)) {
                break;
            }
        }
    }
}
