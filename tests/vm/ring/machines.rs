//! The machines, and which groups of cases run on which.

use std::time::Duration;

use anyhow::{Result, bail};
use vm_tests::{Boot, Machine, Pf};

/// A machine that has not finished by then is killed; they take a tenth of it.
const LIMIT: Duration = Duration::from_mins(5);

/// What it takes for `vfio-pci`. The second one is a module of its own in Linux 6.1 only.
const VFIO: [&str; 4] = ["vfio", "vfio_virqfd", "vfio_iommu_type1", "vfio-pci"];

/// The machines that have cases to run, by name. A group of cases belongs to one machine.
pub(crate) fn machines(cases: &[String]) -> Result<Vec<(&'static str, Boot)>> {
    let mut left: Vec<&String> = cases.iter().collect();
    let mut boots = Vec::new();
    for (name, groups, machine) in all() {
        let (here, other) = left.into_iter().partition(|case| {
            let group = case.split("::").next().unwrap_or_default();
            groups.contains(&group)
        });
        left = other;
        let cases: Vec<_> = here.into_iter().cloned().collect();
        if !cases.is_empty() {
            boots.push((
                name,
                Boot {
                    machine,
                    cases,
                    limit: LIMIT,
                },
            ));
        }
    }
    if !left.is_empty() {
        bail!("no machine has these cases: {left:?}; add their group in tests/vm/ring/machines.rs");
    }
    Ok(boots)
}

fn all() -> [(&'static str, &'static [&'static str], Machine); 6] {
    [
        (
            "server",
            &["pci", "bind", "inuse", "groups", "uevents"],
            server(),
        ),
        ("node", &["daemon"], node()),
        ("node with QEMU", &["answer"], hypervisor()),
        ("four devices", &["provision"], four_devices()),
        ("a broken node", &["inspect"], broken()),
        ("without IOMMU", &["noiommu"], without_iommu()),
    ]
}

/// Two sockets, and a PF of each kind that has drivers of its own.
fn server() -> Machine {
    Machine {
        pfs: vec![
            Pf {
                node: Some(1),
                ..pf(0x6b, "4940", 16)
            },
            // The second device is for compression; the twin counts them as the driver does.
            pf(0x70, "4948", 4),
            Pf {
                node: Some(0),
                ..pf(0x3d, "37c8", 16)
            },
            pf(0x90, "4942", 64),
            Pf {
                acs: false,
                ..pf(0xa0, "4944", 2)
            },
        ],
        conventional_bus: true,
        modules: [&VFIO[..], &["pci-pf-stub", "virtio_pci"]].concat(),
        memory: 768,
        ..Machine::default()
    }
}

/// A node with one device and our binaries.
fn node() -> Machine {
    Machine {
        pfs: vec![pf(0x6b, "4940", 16)],
        modules: VFIO.to_vec(),
        programs: vec!["qat-plugin", "qat-inspect"],
        memory: 512,
        ..Machine::default()
    }
}

/// A node with devices for every fault, and our inspector.
fn broken() -> Machine {
    Machine {
        pfs: vec![
            pf(0x6b, "4940", 16),
            pf(0x3d, "37c8", 16),
            Pf {
                acs: false,
                ..pf(0xa0, "4944", 2)
            },
        ],
        modules: [&VFIO[..], &["pci-pf-stub"]].concat(),
        programs: vec!["qat-inspect"],
        memory: 768,
        ..Machine::default()
    }
}

/// A node with four devices of generation 4, as a socket of a Xeon has them.
fn four_devices() -> Machine {
    Machine {
        pfs: [0x6b, 0x70, 0x75, 0x7a]
            .map(|bus| pf(bus, "4940", 16))
            .to_vec(),
        modules: VFIO.to_vec(),
        programs: vec!["qat-plugin"],
        memory: 1024,
        ..Machine::default()
    }
}

/// A node with one device and our plugin, on which virtual machines run.
fn hypervisor() -> Machine {
    Machine {
        programs: vec!["qat-plugin"],
        hypervisor: true,
        memory: 1024,
        ..node()
    }
}

/// The smallest machine, as the firmware of many comes: the IOMMU is off.
fn without_iommu() -> Machine {
    Machine {
        pfs: vec![pf(0x6b, "4940", 2)],
        programs: vec!["qat-inspect"],
        modules: VFIO.to_vec(),
        kernel: vec!["intel_iommu=off"],
        memory: 512,
        ..Machine::default()
    }
}

fn pf(bus: u8, id: &'static str, vfs: u16) -> Pf {
    Pf {
        bus,
        id,
        vfs,
        acs: true,
        node: None,
    }
}
