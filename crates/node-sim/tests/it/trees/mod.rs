//! The trees of machines: as the kernel writes them, as our scan reads them, as they change.

mod attributes;
mod changes;
mod descriptions;
mod iommu;
mod kernel;
mod live;
mod profiles;
mod refusals;
mod scale;
mod uio;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use node_sim::{Machine, Profile, SimNode};
use rustix::fs::{major, minor};
use sysfs_pci::{Depth, DriverName, Function, PciAddress, PciId, Role, Snapshot, SysfsRoot};
use tempfile::TempDir;

/// A machine that lives as long as its directory.
struct Sim {
    node: SimNode,
    dir: TempDir,
}

fn write(machine: Machine) -> Sim {
    let dir = node_sim::scratch().unwrap();
    let node = machine.write(dir.path()).unwrap();
    Sim { node, dir }
}

fn write_profile(profile: Profile) -> Sim {
    write(Machine::profile(profile))
}

fn at(address: &str) -> PciAddress {
    address.parse().unwrap()
}

/// Every entry below a directory, with what distinguishes one state of it from another.
fn contents(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let what = if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if meta.is_dir() {
                open.push(path.clone());
                "dir".to_owned()
            } else if meta.file_type().is_fifo() {
                // A command file that is listened to: nothing to be read from it.
                format!("{:o} ", meta.permissions().mode() & 0o777)
            } else {
                // Command files are not readable for their owner.
                let text = fs::read(&path).unwrap_or_default();
                let mode = meta.permissions().mode() & 0o777;
                format!("{mode:o} {}", text.escape_ascii())
            };
            found.insert(path.strip_prefix(dir).unwrap().to_owned(), what);
        }
    }
    found
}

/// Whether a directory is as it was; says where it is not.
#[track_caller]
fn assert_same(before: &BTreeMap<PathBuf, String>, dir: &Path) {
    let after = contents(dir);
    let names = before.keys().chain(after.keys());
    let differs = |name: &&PathBuf| before.get(*name) != after.get(*name);
    let differences: Vec<_> = names
        .filter(differs)
        .map(|name| (name, before.get(name), after.get(name)))
        .collect();
    assert_eq!(differences, []);
}

#[track_caller]
fn assert_links_resolve(root: &Path) {
    let root = root.canonicalize().unwrap();
    for (name, what) in contents(&root) {
        let Some(text) = what.strip_prefix("-> ") else {
            continue;
        };
        let end = root.join(&name).canonicalize();
        let end = end.unwrap_or_else(|error| panic!("{} -> {text}: {error}", name.display()));
        if name.starts_with("dev") {
            assert_eq!(text, "/dev/null", "{}", name.display());
        } else {
            assert!(text.starts_with("../"), "{} -> {text}", name.display());
            assert!(end.starts_with(root.join("sys")), "{}", name.display());
        }
    }
}

/// Reads a file of a function, without the newline at its end.
fn attr(node: &SimNode, address: &str, name: &str) -> String {
    let text = fs::read_to_string(node.device(at(address)).join(name)).unwrap();
    text.trim_end_matches('\n').to_owned()
}

fn link(node: &SimNode, path: &str) -> String {
    let text = fs::read_link(node.sysfs().join(path)).unwrap();
    text.to_str().unwrap().to_owned()
}

/// Our own scan, which takes every VF that this crate's profiles can have for one.
fn scan(node: &SimNode) -> Snapshot {
    let depth = |id: PciId| match (id.vendor, id.device) {
        (0x8086, 0x0435 | 0x37c8 | 0x19e2 | 0x4940 | 0x4942 | 0x4944 | 0x4946 | 0x4948) => {
            Depth::Physical
        }
        (0x8086, 0x0443 | 0x37c9 | 0x19e3 | 0x4941 | 0x4943 | 0x4945 | 0x4947 | 0x4949) => {
            Depth::Function
        }
        _ => Depth::Identity,
    };
    sysfs_pci::scan(&SysfsRoot::new(node.sysfs()), &depth).unwrap()
}

fn driver_in(function: &Function) -> Option<&str> {
    function.driver.as_ref().map(DriverName::as_str)
}

/// Whether the scan says of every function what the machine says of it.
#[track_caller]
fn assert_scan_agrees(node: &SimNode) {
    let snapshot = scan(node);
    assert_eq!(snapshot.failures, []);
    assert_eq!(snapshot.vanished, []);
    let ours: Vec<PciAddress> = {
        let mut ours = [node.pfs(), node.vfs()].concat();
        ours.sort();
        ours
    };
    let functions: Vec<PciAddress> = snapshot.functions.keys().copied().collect();
    assert_eq!(functions, ours);
    let neighbours: Vec<PciAddress> = snapshot.neighbours.keys().copied().collect();
    assert_eq!(neighbours, node.others());
    for (address, function) in &snapshot.functions {
        assert_eq!(driver_in(function), node.driver_of(*address).as_deref());
        assert_eq!(function.iommu_group, node.group_of(*address), "{address}");
    }
    for pf in node.pfs() {
        let Role::Physical(sriov) = &snapshot.functions[&pf].role else {
            panic!("{pf} is a PF");
        };
        let vfs: Vec<PciAddress> = sriov.vfs.values().copied().collect();
        assert_eq!(vfs, node.vfs_of(pf));
        for (index, vf) in &sriov.vfs {
            let index = Some(*index);
            assert_eq!(snapshot.functions[vf].role, Role::Virtual { pf, index });
        }
    }
}

/// Whether a node is there, and is the device that the class in sysfs names.
fn is_node(node: &SimNode, name: &str, dev: &str) -> bool {
    let path = node.dev().join("vfio").join(name);
    let Ok(meta) = path.metadata() else {
        return false;
    };
    let numbers = format!("{}:{}\n", major(meta.rdev()), minor(meta.rdev()));
    let told = fs::read_to_string(node.sysfs().join(dev)).unwrap();
    meta.file_type().is_char_device() && numbers == told
}
