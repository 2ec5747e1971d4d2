//! Machines as they are found in the field.

use sysfs_pci::{PciAddress, PciId};

use super::{DescriptionError, FunctionSpec, Machine, Numa, qat::Family};

/// A machine with QAT hardware, every VF of it on `vfio-pci` with nodes.
///
/// Each also has bridges on `pcieport` and a network card on its ordinary
/// driver. Where `vfio-pci` refuses the family by default, the machine was
/// booted with `disable_denylist=1`.
///
/// Bus numbers of 420xx and 6xxx are representative, those of the others were
/// seen on machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// A C62x chipset or card: three PFs behind bridges, 48 VFs, no configurable services.
    C62x,
    /// One socket with four 4xxx PFs: 64 VFs, half of them symmetric and
    /// asymmetric crypto, half compression.
    Xeon4xxx,
    /// Two sockets with four 4xxx PFs each: 128 VFs on two NUMA nodes.
    Xeon4xxxTwoSockets,
    /// Two sockets with two 401xx PFs each.
    X401xx,
    /// Two sockets with two 402xx PFs each.
    X402xx,
    /// A `DH895xCC` card: one PF with 32 VFs.
    Dh895xcc,
    /// An Atom C3000: one PF with 16 VFs, no NUMA.
    C3xxx,
    /// One socket with two 420xx PFs.
    X420xx,
    /// Two sockets with one 6xxx PF each.
    X6xxx,
    /// A virtual machine that was given two VFs of 4xxx devices.
    Guest4xxx,
    /// A virtual machine that was given two VFs of C62x devices.
    GuestC62x,
    /// A machine of any size, with 4xxx ids and only the files that matter: for benches.
    Scale {
        /// PFs, at most 16.
        pfs: u8,
        /// VFs of each PF, at most 256.
        vfs: u16,
    },
}

impl Profile {
    /// Every profile but [`Scale`](Self::Scale).
    pub const ALL: [Self; 11] = [
        Self::C62x,
        Self::Xeon4xxx,
        Self::Xeon4xxxTwoSockets,
        Self::X401xx,
        Self::X402xx,
        Self::Dh895xcc,
        Self::C3xxx,
        Self::X420xx,
        Self::X6xxx,
        Self::Guest4xxx,
        Self::GuestC62x,
    ];
}

/// An address of the tables below.
const fn at(bus: u8, device: u8) -> PciAddress {
    match PciAddress::new(0, bus, device, 0) {
        Some(address) => address,
        None => {
            #[expect(
                clippy::panic,
                reason = "only constants are built: this is at compile time"
            )]
            {
                panic!("no PCI address")
            }
        }
    }
}

/// PFs of one machine: address, bridges above it from the root, NUMA node.
type Place = (PciAddress, &'static [PciAddress], Numa);

const NODE0: Numa = Numa::Node(0);
const NODE1: Numa = Numa::Node(1);

const C62X: [Place; 3] = [
    (at(0x3d, 0), &[at(0x3a, 0), at(0x3b, 0), at(0x3c, 3)], NODE0),
    (at(0x3f, 0), &[at(0x3a, 0), at(0x3b, 0), at(0x3c, 4)], NODE0),
    (at(0xda, 0), &[at(0xd7, 0), at(0xd8, 0), at(0xd9, 3)], NODE0),
];
const XEON: [Place; 8] = [
    (at(0x6b, 0), &[], NODE0),
    (at(0x70, 0), &[], NODE0),
    (at(0x75, 0), &[], NODE0),
    (at(0x7a, 0), &[], NODE0),
    (at(0xe8, 0), &[], NODE1),
    (at(0xed, 0), &[], NODE1),
    (at(0xf2, 0), &[], NODE1),
    (at(0xf7, 0), &[], NODE1),
];
const PAIRS: [Place; 4] = [
    (at(0x76, 0), &[], NODE0),
    (at(0x7a, 0), &[], NODE0),
    (at(0xf3, 0), &[], NODE1),
    (at(0xf7, 0), &[], NODE1),
];
const SOCKETS: [Place; 2] = [(at(0x6b, 0), &[], NODE0), (at(0xe8, 0), &[], NODE1)];
const CARD: [Place; 1] = [(at(0x03, 0), &[at(0x00, 2)], NODE0)];
const ATOM: [Place; 1] = [(at(0x01, 0), &[at(0x00, 6)], Numa::Unknown)];
const GUEST: [Place; 2] = [
    (at(0x05, 0), &[at(0x00, 1)], Numa::Unknown),
    (at(0x0c, 0), &[at(0x00, 2)], Numa::Unknown),
];

const NIC: PciAddress = at(0x18, 0);
const NIC_PORT: PciAddress = at(0x17, 0);
const LOOK_ALIKE: PciAddress = at(0xc1, 0);
const DSA: PciAddress = at(0x6a, 1);

pub(super) fn build(profile: Profile) -> Machine {
    match profile {
        Profile::C62x => host(&Family::C62X, &C62X, 60),
        Profile::Xeon4xxx => host(&Family::G4XXX, &XEON[..4], 112),
        Profile::Xeon4xxxTwoSockets => host(&Family::G4XXX, &XEON, 112),
        Profile::X401xx => host(&Family::G401XX, &PAIRS, 112),
        Profile::X402xx => host(&Family::G402XX, &PAIRS, 112),
        Profile::Dh895xcc => host(&Family::DH895XCC, &CARD, 30),
        Profile::C3xxx => host(&Family::C3XXX, &ATOM, 20),
        Profile::X420xx => host(&Family::G420XX, &PAIRS[..2], 112),
        Profile::X6xxx => host(&Family::G6XXX, &SOCKETS, 112),
        Profile::Guest4xxx => guest(&Family::G4XXX),
        Profile::GuestC62x => guest(&Family::C62X),
        Profile::Scale { pfs, vfs } => scale(pfs, vfs),
    }
}

fn host(family: &Family, places: &[Place], first_group: u32) -> Machine {
    let nic = if family.configurable {
        (0x1592, "ice")
    } else {
        (0x10fb, "ixgbe")
    };
    let mut machine = with_bridges(with_nic(Machine::new(), nic), places, bridge_id(family));
    machine.denylist_disabled = family.denylisted;
    for ((address, bridges, numa), number) in places.iter().zip(0..) {
        let services = if number % 2 == 0 { "sym;asym" } else { "dc" };
        let mut pf = family.pf(*address, services);
        pf.function = pf.function.numa(*numa).group(first_group + number);
        if let Some(bridge) = bridges.last() {
            pf.function = pf.function.behind(*bridge);
        }
        machine = machine.pf(pf);
    }
    machine
}

fn guest(family: &Family) -> Machine {
    let ports = PciId::new(0x1b36, 0x000c);
    let mut machine = with_bridges(Machine::new(), &GUEST, ports);
    machine.denylist_disabled = family.denylisted;
    let card = FunctionSpec::new(at(0x00, 3), PciId::new(0x1af4, 0x1000))
        .class(0x02_0000)
        .numa(Numa::Unknown)
        .driver("virtio-pci");
    machine = machine.function(card);
    for (address, bridges, numa) in GUEST {
        let mut vf = family.given(address).numa(numa);
        if let Some(bridge) = bridges.last() {
            vf = vf.behind(*bridge);
        }
        machine = machine.function(vf);
    }
    machine
}

fn scale(pfs: u8, vfs: u16) -> Machine {
    let mut machine = with_nic(Machine::new(), (0x1592, "ice")).lean();
    if pfs > 16 || vfs > 256 {
        machine
            .problems
            .push(DescriptionError::TooLarge { pfs, vfs });
        return machine;
    }
    for number in 0..pfs {
        // 256 VFs reach one bus further than their PF; eight buses are left for each.
        let Some(address) = PciAddress::new(0, 0x40 + 8 * number, 0, 0) else {
            continue;
        };
        let services = if number % 2 == 0 { "sym;asym" } else { "dc" };
        let mut pf = Family::G4XXX.pf(address, services);
        pf.total = vfs;
        let node = u32::from(number >= pfs.div_ceil(2));
        pf.function = pf
            .function
            .numa(Numa::Node(node))
            .group(112 + u32::from(number));
        machine = machine.pf(pf);
    }
    machine
}

fn with_nic(machine: Machine, (device, driver): (u16, &str)) -> Machine {
    let nic = FunctionSpec::new(NIC, PciId::new(0x8086, device))
        .class(0x02_0000)
        .revision(1)
        .behind(NIC_PORT)
        .driver(driver);
    machine
        .function(bridge(NIC_PORT, PciId::new(0x8086, 0x352a), NODE0))
        .function(nic)
}

fn with_bridges(mut machine: Machine, places: &[Place], id: PciId) -> Machine {
    for (_, bridges, numa) in places {
        let mut above = None;
        for address in *bridges {
            if !machine.functions.contains_key(address) {
                let mut spec = bridge(*address, id, *numa);
                spec.behind = above;
                machine = machine.function(spec);
            }
            above = Some(*address);
        }
    }
    machine
}

fn bridge(address: PciAddress, id: PciId, numa: Numa) -> FunctionSpec {
    FunctionSpec::new(address, id)
        .class(0x06_0400)
        .numa(numa)
        .driver("pcieport")
}

/// The C3000 root port is seen as 8086:19a3; 8086:37c5 is the C620's switch.
fn bridge_id(family: &Family) -> PciId {
    let device = match family.pf {
        0x19e2 => 0x19a3,
        0x37c8 => 0x37c5,
        _ => 0x2f04,
    };
    PciId::new(0x8086, device)
}

pub(super) fn with_look_alikes(machine: Machine) -> Machine {
    let other = FunctionSpec::new(LOOK_ALIKE, PciId::new(0x10de, 0x4941)).class(0x0b_4000);
    let dsa = FunctionSpec::new(DSA, PciId::new(0x8086, 0x0b25))
        .class(0x08_8000)
        .driver("idxd");
    machine.function(other).function(dsa)
}
