//! The attribute files of a function, as data.
//!
//! Formats and modes are those of drivers/pci/pci-sysfs.c and iov.c
//! (Documentation/ABI/testing/sysfs-bus-pci).

use std::{collections::BTreeMap, path::PathBuf};

use super::super::{
    Attribute, Machine, Numa,
    model::{Function, Role, Sriov},
};
use super::{host, paths};

/// Files by path below `/sys`.
pub(in super::super) type Files = BTreeMap<PathBuf, Attribute>;

type Named = BTreeMap<String, Attribute>;

/// CPUs of a node in a machine with two nodes of 64: first and second half of each.
const CPUS: [(&str, &str); 2] = [
    ("0-31,64-95", "00000000,ffffffff,00000000,ffffffff"),
    ("32-63,96-127", "ffffffff,00000000,ffffffff,00000000"),
];
const ALL_CPUS: (&str, &str) = ("0-127", "ffffffff,ffffffff,ffffffff,ffffffff");

/// Every file that belongs to a function in its present state: in its
/// directory, and in debugfs.
pub(in super::super) fn files_of(machine: &Machine, function: &Function) -> Files {
    let mut named = Named::new();
    identity(function, &mut named);
    state(machine, function, &mut named);
    if !machine.lean {
        details(function, &mut named);
    }
    if let Some(sriov) = function.sriov().filter(|sriov| sriov.capable) {
        sriov_files(sriov, &mut named);
    }
    named.extend(function.spec.attributes.clone());
    if function.is_home() {
        named.extend(function.spec.driver_attributes.clone());
    }
    for (name, bytes) in &function.literal {
        let mode = named.get(name).map_or(0o444, |attribute| attribute.mode);
        named.insert(name.clone(), Attribute::new(bytes.clone(), mode));
    }
    named.retain(|name, _| !function.missing.contains(name));

    let dir = paths::device_dir(machine, function.spec.address);
    let in_dir = named
        .into_iter()
        .map(|(name, attribute)| (dir.join(name), attribute));
    let debugfs = function.spec.debugfs.as_ref();
    let in_debugfs = debugfs
        .filter(|_| machine.debugfs && function.is_home())
        .into_iter()
        .flat_map(|debugfs| {
            let dir = format!(
                "{}/{}_{}",
                host::DEBUGFS,
                debugfs.prefix,
                function.spec.address
            );
            let files = debugfs.files.iter();
            files.map(move |(name, attribute)| {
                (PathBuf::from(format!("{dir}/{name}")), attribute.clone())
            })
        });
    in_dir.chain(in_debugfs).collect()
}

fn ro(named: &mut Named, name: &str, text: String) {
    named.insert(name.to_owned(), Attribute::read_only(text));
}

fn rw(named: &mut Named, name: &str, text: String) {
    named.insert(name.to_owned(), Attribute::read_write(text));
}

fn modalias(function: &Function) -> String {
    let (spec, [_, base, sub, interface]) = (&function.spec, function.spec.class.to_be_bytes());
    format!(
        "pci:v{:08X}d{:08X}sv{:08X}sd{:08X}bc{base:02X}sc{sub:02X}i{interface:02X}",
        spec.id.vendor, spec.id.device, spec.subsystem.vendor, spec.subsystem.device,
    )
}

/// What cannot change while the function lives.
fn identity(function: &Function, named: &mut Named) {
    let spec = &function.spec;
    ro(named, "vendor", format!("0x{:04x}\n", spec.id.vendor));
    ro(named, "device", format!("0x{:04x}\n", spec.id.device));
    let subsystem = spec.subsystem;
    ro(
        named,
        "subsystem_vendor",
        format!("0x{:04x}\n", subsystem.vendor),
    );
    ro(
        named,
        "subsystem_device",
        format!("0x{:04x}\n", subsystem.device),
    );
    ro(named, "class", format!("0x{:06x}\n", spec.class));
    ro(named, "revision", format!("0x{:02x}\n", spec.revision));
    ro(named, "modalias", format!("{}\n", modalias(function)));
    match spec.numa {
        Numa::Node(node) => rw(named, "numa_node", format!("{node}\n")),
        Numa::Unknown => rw(named, "numa_node", "-1\n".to_owned()),
        Numa::Absent => {}
    }
}

/// What the driver changes.
fn state(machine: &Machine, function: &Function, named: &mut Named) {
    let spec = &function.spec;
    let driver = spec.driver.as_deref();
    let vfio = machine.is_vfio(driver);
    let line = driver.map_or_else(String::new, |driver| format!("DRIVER={driver}\n"));
    let uevent = format!(
        "{line}PCI_CLASS={:04X}\nPCI_ID={:04X}:{:04X}\nPCI_SUBSYS_ID={:04X}:{:04X}\n\
         PCI_SLOT_NAME={}\nMODALIAS={}\n",
        spec.class,
        spec.id.vendor,
        spec.id.device,
        spec.subsystem.vendor,
        spec.subsystem.device,
        spec.address,
        modalias(function),
    );
    rw(named, "uevent", uevent);
    let enable = u32::from(driver.is_some() && !vfio);
    rw(
        named,
        "enable",
        format!("{}\n", function.enable.unwrap_or(enable)),
    );
    let driver_override = function.driver_override.as_deref().unwrap_or("(null)");
    rw(named, "driver_override", format!("{driver_override}\n"));
    let power = if vfio { "D3hot" } else { "D0" };
    ro(named, "power_state", format!("{power}\n"));
}

/// What a reader of identity and state has no use for, but a real directory has.
fn details(function: &Function, named: &mut Named) {
    let spec = &function.spec;
    let (list, mask) = match spec.numa {
        Numa::Node(node @ 0..=1) => CPUS[usize::from(node == 1)],
        _ => ALL_CPUS,
    };
    ro(named, "local_cpulist", format!("{list}\n"));
    ro(named, "local_cpus", format!("{mask}\n"));
    for name in ["dma_mask_bits", "consistent_dma_mask_bits"] {
        ro(named, name, format!("{}\n", spec.dma_bits));
    }
    for (name, text) in [("irq", "0\n"), ("ari_enabled", "1\n"), ("resource", "")] {
        ro(named, name, text.to_owned());
    }
    rw(named, "msi_bus", "1\n".to_owned());
    // A root complex integrated endpoint has no link.
    let (speed, width) = match spec.behind {
        Some(_) => ("8.0 GT/s PCIe", "16"),
        None => ("Unknown", "0"),
    };
    for end in ["current", "max"] {
        ro(named, &format!("{end}_link_speed"), format!("{speed}\n"));
        ro(named, &format!("{end}_link_width"), format!("{width}\n"));
    }
    let methods = if spec.behind.is_some() {
        "flr bus\n"
    } else {
        "flr\n"
    };
    rw(named, "reset_method", methods.to_owned());
    named.insert("reset".to_owned(), Attribute::write_only());
    named.insert("remove".to_owned(), Attribute::new("", 0o220));
    named.insert("config".to_owned(), Attribute::read_write(config(function)));
    if function.sriov().is_some() {
        for (name, total) in [
            (
                "aer_dev_correctable",
                "RxErr 0\nBadTLP 0\nTOTAL_ERR_COR 0\n",
            ),
            (
                "aer_dev_nonfatal",
                "Undefined 0\nDLP 0\nTOTAL_ERR_NONFATAL 0\n",
            ),
            ("aer_dev_fatal", "Undefined 0\nDLP 0\nTOTAL_ERR_FATAL 0\n"),
        ] {
            ro(named, name, total.to_owned());
        }
    }
}

/// Configuration space. A VF reads ones where its ids would be, as the SR-IOV specification demands.
fn config(function: &Function) -> Vec<u8> {
    let spec = &function.spec;
    let mut bytes = vec![0; 4096];
    if matches!(function.role, Role::Vf { .. }) {
        bytes[0..4].fill(0xff);
    } else {
        bytes[0..2].copy_from_slice(&spec.id.vendor.to_le_bytes());
        bytes[2..4].copy_from_slice(&spec.id.device.to_le_bytes());
    }
    let class = spec.class.to_le_bytes();
    bytes[8] = spec.revision;
    bytes[9..12].copy_from_slice(&class[..3]);
    bytes
}

fn sriov_files(sriov: &Sriov, named: &mut Named) {
    ro(named, "sriov_totalvfs", format!("{}\n", sriov.total));
    rw(named, "sriov_numvfs", format!("{}\n", sriov.enabled));
    rw(
        named,
        "sriov_drivers_autoprobe",
        format!("{}\n", u8::from(sriov.autoprobe)),
    );
    ro(named, "sriov_offset", format!("{}\n", sriov.offset));
    ro(named, "sriov_stride", format!("{}\n", sriov.stride));
    ro(
        named,
        "sriov_vf_device",
        format!("{:x}\n", sriov.vf_id.device),
    );
    ro(named, "sriov_vf_total_msix", "0\n".to_owned());
}
