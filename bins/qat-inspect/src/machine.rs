//! What is wrong with the machine as a whole.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;

use qat_node::{RESOURCE_DOMAIN, Verdict, resource_text};
use qat_policy::health::{Reading, Unclear};
use qat_policy::{Reason, Standing, Vf};
use sysfs_pci::{NumaNode, fs as sysfs};

use crate::finding::{Finding, Kind};
use crate::site::Site;

/// Words of the kernel's command line without which VFs could be used (`admin-guide/kernel-parameters`).
const OFF: [&str; 5] = [
    "intel_iommu=off",
    "iommu=off",
    "amd_iommu=off",
    "pci=nosriov",
    "pci=off",
];

/// Where the kernel looks for firmware, below its directory (`driver-api/firmware/fw_search_path`), and where linux-firmware
/// has ours.
const FIRMWARE_PLACES: [&str; 4] = ["", "intel/qat/", "updates/", "updates/intel/qat/"];

/// How files of firmware end.
const ENDINGS: [&str; 3] = [".bin", ".bin.xz", ".bin.zst"];

/// Looks around the functions: modules, the kubelet, the plugin, debugfs.
pub(crate) fn findings(site: &Site, no_kubelet: bool) -> Vec<Finding> {
    let inventory = &site.look.inventory;
    if inventory.pfs.is_empty() && inventory.vfs.is_empty() {
        return Vec::new();
    }
    let mut findings = modules(site);
    findings.extend(numa(site));
    findings.extend(heartbeats(site));
    findings.extend(resources(site));
    findings.extend(parameters(site));
    findings.extend(firmware(site));
    if !site.is_a_snapshot && !no_kubelet {
        findings.extend(kubelet(site));
    }
    findings
}

fn finding(kind: Kind, name: impl Into<String>, code: &'static str, text: String) -> Finding {
    Finding::new(kind, name.into(), code, text)
}

fn modules(site: &Site) -> Vec<Finding> {
    let mut findings = Vec::new();
    let module = |name: &str| site.roots.sysfs.join("module").join(name);
    let there = |path: &Path| path.exists();
    let vfs = !site.look.inventory.vfs.is_empty();
    let driver = site.roots.sysfs.join("bus/pci/drivers/vfio-pci");
    let wanted = site.rules.drivers.to_string().contains("vfio");
    if wanted && vfs && !there(&module("vfio_pci")) && !there(&driver) {
        let path = driver.display();
        let text = format!(
            "`{path}` is not there: vfio-pci is neither loaded nor built in; `modprobe vfio-pci`"
        );
        findings.push(finding(Kind::Machine, "vfio-pci", "vfio-not-loaded", text));
    }
    for name in ["intel_qat", "qat_4xxx", "qat_c62x"] {
        let Some(taint) = site.sysfs_text(&format!("module/{name}/taint")) else {
            continue;
        };
        if taint.contains('O') {
            let version = site.sysfs_text(&format!("module/{name}/version"));
            let version =
                version.map_or_else(String::new, |version| format!(", version {version}"));
            let text = format!(
                "module `{name}` is from out of the kernel's tree (taint `{taint}`{version})"
            );
            findings.push(finding(Kind::Machine, name, "out-of-tree", text));
            break;
        }
    }
    findings
}

fn numa(site: &Site) -> Vec<Finding> {
    let nodes = sysfs::list(&site.roots.sysfs.join("devices/system/node"));
    let is_node = |name: &str| {
        let number = name.strip_prefix("node");
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let nodes = nodes.unwrap_or_default();
    let count = nodes.iter().filter(|entry| is_node(&entry.name)).count();
    if count < 2 {
        return Vec::new();
    }
    let pfs = site.look.inventory.pfs.values();
    let lost = pfs.filter(|pf| pf.numa_node.map(NumaNode::get).is_none());
    lost.map(|pf| {
        let text = format!(
            "the machine has {count} NUMA nodes, and the kernel does not say which is its own"
        );
        finding(Kind::Pf, pf.address.to_string(), "numa-unknown", text)
    })
    .collect()
}

/// Whether the plugin, which makes the checks, can.
fn heartbeats(site: &Site) -> Vec<Finding> {
    let pfs = site
        .known
        .memory()
        .into_iter()
        .flat_map(|memory| &memory.pfs);
    let blind = pfs.filter_map(|(pf, memory)| {
        let why = match &memory.vitals.beat {
            Reading::Unknown(Unclear::Denied) => "the plugin must not read debugfs".to_owned(),
            Reading::Unknown(Unclear::NoFile) => {
                "there is no heartbeat where the plugin looks: debugfs is not mounted there, or the kernel is older than 6.6".to_owned()
            }
            Reading::Failed { why } => why.clone(),
            _ => return None,
        };
        Some(finding(Kind::Pf, pf.to_string(), "heartbeat-unknown", why))
    });
    blind.collect()
}

/// Resources with no VF that a pod could have.
fn resources(site: &Site) -> Vec<Finding> {
    let pools = site
        .known
        .memory()
        .into_iter()
        .flat_map(|memory| &memory.pools);
    let empty = pools.filter(|(_, vfs)| vfs.values().all(|vf| vf.verdict != Verdict::Healthy));
    empty
        .map(|(pool, vfs)| {
            let text = format!(
                "the plugin tells the kubelet of {} VFs, and none is healthy",
                vfs.len()
            );
            finding(Kind::Resource, resource_text(pool), "nothing-healthy", text)
        })
        .collect()
}

/// Words of the kernel's command line that switch off what VFs need, or the one that is missing.
fn parameters(site: &Site) -> Vec<Finding> {
    let path = site.proc.join("cmdline");
    let Ok(line) = fs::read_to_string(&path) else {
        return Vec::new();
    };
    let place = path.display();
    let found = |name: &str, text: String| finding(Kind::Machine, name, "kernel-parameter", text);
    let off = line
        .split_ascii_whitespace()
        .filter(|word| OFF.contains(word));
    let mut findings: Vec<Finding> = off
        .map(|word| found(word, format!("`{place}` has `{word}`; boot without it")))
        .collect();
    let no_iommu = |vf: &Vf| matches!(vf.standing, Standing::Withheld(Reason::NoIommu));
    if findings.is_empty()
        && site.look.inventory.vfs.values().any(no_iommu)
        && !line.contains("intel_iommu=")
    {
        findings.push(found(
            "intel_iommu=on",
            format!("the machine has no active IOMMU, and `{place}` has no `intel_iommu=on`"),
        ));
    }
    findings
}

/// PFs whose driver is loaded and could not start, for want of its firmware.
fn firmware(site: &Site) -> Vec<Finding> {
    // A container has none, and that says nothing of the host.
    let Some(directory) = site.firmware.as_ref().filter(|path| path.is_dir()) else {
        return Vec::new();
    };
    let there = |name: &str| {
        let places = FIRMWARE_PLACES.iter();
        let mut files =
            places.flat_map(|place| ENDINGS.map(|ending| format!("{place}{name}{ending}")));
        files.any(|file| directory.join(file).exists())
    };
    let pfs = site.look.inventory.pfs.values();
    let without = pfs.filter(|pf| pf.driver.is_none()).filter_map(|pf| {
        let spec = pf.family.spec();
        let module = site.roots.sysfs.join("module").join(spec.pf_module);
        if !module.exists() || there(spec.firmware) {
            return None;
        }
        let text = format!(
            "module `{}` is loaded, and `{}` has no `{}.bin`",
            spec.pf_module,
            directory.display(),
            spec.firmware
        );
        let name = pf.address.to_string();
        Some(finding(Kind::Pf, name, "firmware-missing", text))
    });
    without.collect()
}

/// The sockets of the kubelet and of plugins of ours. A machine without a kubelet is none of a cluster.
fn kubelet(site: &Site) -> Vec<Finding> {
    let directory = site.roots.kubelet.path();
    let Ok(entries) = fs::read_dir(directory) else {
        return match directory.ancestors().nth(1) {
            Some(parent) if parent.exists() => {
                let text = format!("`{}` is not there", directory.display());
                vec![finding(Kind::Machine, "kubelet", "kubelet-dir", text)]
            }
            _ => Vec::new(),
        };
    };
    let mut findings = Vec::new();
    let socket = site.roots.kubelet.kubelet_socket();
    if let Some(why) = dead(&socket) {
        let text = format!("`{}`: {why}", socket.display());
        findings.push(finding(Kind::Machine, "kubelet", "kubelet-down", text));
    }
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".sock") else {
            continue;
        };
        if name.starts_with(RESOURCE_DOMAIN)
            && let Some(why) = dead(&entry.path())
        {
            let text = format!("`{}`: {why}", entry.path().display());
            let resource = name.replacen('-', "/", 1);
            findings.push(finding(Kind::Resource, resource, "plugin-dead", text));
        }
    }
    findings
}

/// Why nobody answers on a socket. One that this user must not open may be well.
fn dead(socket: &Path) -> Option<String> {
    match UnixStream::connect(socket) {
        Ok(_answers) => None,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Some("there is no such socket".to_owned())
        }
        Err(error) => Some(format!("nobody answers ({error})")),
    }
}
