//! Who has a function open.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sysfs_pci::{IommuGroupId, PciAddress, SysfsRoot, decimal, fs};

use crate::DeviceNumbers;

/// Where the kernel shows processes.
pub const PROC: &str = "/proc";

/// A process that has a function open, or its group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its number, as this process sees it.
    pub pid: u32,
    /// Its name (`/proc/<pid>/comm`), at most 15 bytes.
    pub name: String,
}

/// Finds the processes that have a function or its group open, by the device numbers of their open files:
/// the path of a node in a container may be any.
///
/// A process sees the processes of its own PID namespace, and the files of those that it may trace. So none
/// found in a pod without `hostPID` says nothing. Costs a listing for each process, a call for each open
/// file, and one more for each whose name has `vfio` in it.
pub fn holders(
    proc: &Path,
    sysfs: &SysfsRoot,
    address: PciAddress,
    group: Option<IommuGroupId>,
) -> Vec<Holder> {
    let nodes = numbers(sysfs, address, group);
    if nodes.is_empty() {
        return Vec::new();
    }
    let mut holders: Vec<Holder> = fs::list(proc)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|entry| {
            let pid = decimal(&entry.name)?;
            let process = proc.join(&entry.name);
            has_open(&process, &nodes).then(|| Holder {
                pid,
                name: name(&process),
            })
        })
        .collect();
    holders.sort_by_key(|holder| holder.pid);
    holders
}

/// The numbers of the nodes that give access to a function.
fn numbers(
    sysfs: &SysfsRoot,
    address: PciAddress,
    group: Option<IommuGroupId>,
) -> Vec<DeviceNumbers> {
    let mut files: Vec<PathBuf> = Vec::new();
    if let Some(group) = group {
        files.push(sysfs.join(format!("class/vfio/{group}/dev")));
        files.push(sysfs.join(format!("class/vfio/noiommu-{group}/dev")));
    }
    let directory = sysfs.pci_device(address).join("vfio-dev");
    for entry in fs::list(&directory).unwrap_or_default() {
        files.push(directory.join(entry.name).join("dev"));
    }
    let read = |path: PathBuf| DeviceNumbers::parse(&fs::read_text(&path).ok()?);
    files.into_iter().filter_map(read).collect()
}

fn has_open(process: &Path, nodes: &[DeviceNumbers]) -> bool {
    let directory = process.join("fd");
    let is_one = |path: PathBuf| {
        let named =
            fs::link_target(&path).is_ok_and(|target| target.to_string_lossy().contains("vfio"));
        named
            && fs::stat(&path).is_ok_and(|stat| {
                let (major, minor) = stat.device_numbers;
                stat.is_char_device && nodes.contains(&DeviceNumbers { major, minor })
            })
    };
    fs::list(&directory)
        .unwrap_or_default()
        .into_iter()
        .any(|entry| is_one(directory.join(entry.name)))
}

fn name(process: &Path) -> String {
    let name = fs::read_text(&process.join("comm")).unwrap_or_default();
    name.escape_debug().to_string()
}

/// `qemu-system-x86 (process 4242)`.
impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn processes_are_found_by_the_numbers_of_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let (proc, sys) = (dir.path().join("proc"), dir.path().join("sys"));
        create_dir_all(sys.join("class/vfio/7")).unwrap();
        write(sys.join("class/vfio/7/dev"), "1:3\n").unwrap();
        create_dir_all(dir.path().join("vfio")).unwrap();
        let node = |name: &str, device: &str| {
            let path = dir.path().join("vfio").join(name);
            symlink(device, &path).unwrap();
            path
        };
        let (ours, other) = (node("7", "/dev/null"), node("8", "/dev/zero"));
        for (pid, comm, file) in [
            ("17", "qemu\n", ours.as_path()),
            ("3", "shell\n", other.as_path()),
            ("4", "odd\n", Path::new("/dev/null")),
            ("self", "x\n", ours.as_path()),
        ] {
            create_dir_all(proc.join(pid).join("fd")).unwrap();
            write(proc.join(pid).join("comm"), comm).unwrap();
            symlink(file, proc.join(pid).join("fd/5")).unwrap();
        }
        let address = "0000:17:00.1".parse().unwrap();
        let root = SysfsRoot::new(&sys);
        let found = holders(&proc, &root, address, Some(IommuGroupId::new(7)));
        let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["qemu (process 17)"]);
        assert_eq!(holders(&proc, &root, address, None), []);
        assert_eq!(
            holders(
                Path::new("/nowhere"),
                &root,
                address,
                Some(IommuGroupId::new(7))
            ),
            []
        );
    }
}
