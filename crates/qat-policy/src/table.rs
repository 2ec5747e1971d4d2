//! The table of families.

use sysfs_pci::PciId;

use crate::family::{Family, FamilySpec, Generation};
use crate::support::ServiceSupport;

const INTEL: u16 = 0x8086;

/// Returns the row of a family.
pub(crate) const fn spec(family: Family) -> &'static FamilySpec {
    match family {
        Family::Dh895xcc => &DH895XCC,
        Family::C3xxx => &C3XXX,
        Family::C62x => &C62X,
        Family::D15xx => &D15XX,
        Family::C200xx => &C200XX,
        Family::C4xxx => &C4XXX,
        Family::Gen4_4xxx => &GEN4_4XXX,
        Family::Gen4_401xx => &GEN4_401XX,
        Family::Gen4_402xx => &GEN4_402XX,
        Family::Gen5_420xx => &GEN5_420XX,
        Family::Gen6_6xxx => &GEN6_6XXX,
    }
}

/// Returns one text per family, in order, without repetition.
pub(crate) fn names(pick: impl Fn(&'static FamilySpec) -> &'static str) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Family::all()
        .iter()
        .map(|family| pick(family.spec()))
        .collect();
    // Families that share a driver stand next to each other.
    names.dedup();
    names
}

static DH895XCC: FamilySpec = FamilySpec {
    family: Family::Dh895xcc,
    name: "dh895xcc",
    generation: Generation::Gen1,
    pf: PciId::new(INTEL, 0x0435),
    vf: PciId::new(INTEL, 0x0443),
    pf_driver: "dh895xcc",
    pf_module: "qat_dh895xcc",
    firmware: "qat_895xcc",
    vf_driver: "dh895xccvf",
    vf_module: Some("qat_dh895xccvf"),
    total_vfs: 32,
    services: ServiceSupport::Fixed,
    denylisted: true,
    mainline: true,
};

static C3XXX: FamilySpec = FamilySpec {
    family: Family::C3xxx,
    name: "c3xxx",
    generation: Generation::Gen2,
    pf: PciId::new(INTEL, 0x19e2),
    vf: PciId::new(INTEL, 0x19e3),
    pf_driver: "c3xxx",
    pf_module: "qat_c3xxx",
    firmware: "qat_c3xxx",
    vf_driver: "c3xxxvf",
    vf_module: Some("qat_c3xxxvf"),
    total_vfs: 16,
    services: ServiceSupport::Fixed,
    denylisted: true,
    mainline: true,
};

static C62X: FamilySpec = FamilySpec {
    family: Family::C62x,
    name: "c62x",
    generation: Generation::Gen2,
    pf: PciId::new(INTEL, 0x37c8),
    vf: PciId::new(INTEL, 0x37c9),
    pf_driver: "c6xx",
    pf_module: "qat_c62x",
    firmware: "qat_c62x",
    vf_driver: "c6xxvf",
    vf_module: Some("qat_c62xvf"),
    total_vfs: 16,
    services: ServiceSupport::Fixed,
    denylisted: true,
    mainline: true,
};

static D15XX: FamilySpec = FamilySpec {
    family: Family::D15xx,
    name: "d15xx",
    generation: Generation::Gen2,
    pf: PciId::new(INTEL, 0x6f54),
    vf: PciId::new(INTEL, 0x6f55),
    pf_driver: "d15xx",
    pf_module: "qat_d15xx",
    firmware: "qat_d15xx",
    vf_driver: "d15xxvf",
    vf_module: Some("qat_d15xxvf"),
    total_vfs: 16,
    services: ServiceSupport::Fixed,
    denylisted: false,
    mainline: false,
};

static C200XX: FamilySpec = FamilySpec {
    family: Family::C200xx,
    name: "200xx",
    generation: Generation::Gen2,
    pf: PciId::new(INTEL, 0x18ee),
    vf: PciId::new(INTEL, 0x18ef),
    pf_driver: "200xx",
    pf_module: "qat_200xx",
    firmware: "qat_200xx",
    vf_driver: "200xxvf",
    vf_module: Some("qat_200xxvf"),
    total_vfs: 16,
    services: ServiceSupport::Fixed,
    denylisted: false,
    mainline: false,
};

static C4XXX: FamilySpec = FamilySpec {
    family: Family::C4xxx,
    name: "c4xxx",
    generation: Generation::Gen3,
    pf: PciId::new(INTEL, 0x18a0),
    vf: PciId::new(INTEL, 0x18a1),
    pf_driver: "c4xxx",
    pf_module: "qat_c4xxx",
    firmware: "qat_c4xxx",
    vf_driver: "c4xxxvf",
    vf_module: Some("qat_c4xxxvf"),
    total_vfs: 128,
    services: ServiceSupport::Fixed,
    denylisted: false,
    mainline: false,
};

static GEN4_4XXX: FamilySpec = FamilySpec {
    family: Family::Gen4_4xxx,
    name: "4xxx",
    generation: Generation::Gen4,
    pf: PciId::new(INTEL, 0x4940),
    vf: PciId::new(INTEL, 0x4941),
    pf_driver: "4xxx",
    pf_module: "qat_4xxx",
    firmware: "qat_4xxx",
    vf_driver: "4xxxvf",
    vf_module: None,
    total_vfs: 16,
    services: ServiceSupport::Gen4,
    denylisted: false,
    mainline: true,
};

static GEN4_401XX: FamilySpec = FamilySpec {
    family: Family::Gen4_401xx,
    name: "401xx",
    generation: Generation::Gen4,
    pf: PciId::new(INTEL, 0x4942),
    vf: PciId::new(INTEL, 0x4943),
    pf_driver: "4xxx",
    pf_module: "qat_4xxx",
    firmware: "qat_4xxx",
    vf_driver: "4xxxvf",
    vf_module: None,
    total_vfs: 16,
    services: ServiceSupport::Gen4,
    denylisted: false,
    mainline: true,
};

static GEN4_402XX: FamilySpec = FamilySpec {
    family: Family::Gen4_402xx,
    name: "402xx",
    generation: Generation::Gen4,
    pf: PciId::new(INTEL, 0x4944),
    vf: PciId::new(INTEL, 0x4945),
    pf_driver: "4xxx",
    pf_module: "qat_4xxx",
    firmware: "qat_402xx",
    vf_driver: "4xxxvf",
    vf_module: None,
    total_vfs: 16,
    services: ServiceSupport::Gen4,
    denylisted: false,
    mainline: true,
};

static GEN5_420XX: FamilySpec = FamilySpec {
    family: Family::Gen5_420xx,
    name: "420xx",
    generation: Generation::Gen5,
    pf: PciId::new(INTEL, 0x4946),
    vf: PciId::new(INTEL, 0x4947),
    pf_driver: "420xx",
    pf_module: "qat_420xx",
    firmware: "qat_420xx",
    vf_driver: "420xxvf",
    vf_module: None,
    total_vfs: 16,
    services: ServiceSupport::Gen4,
    denylisted: false,
    mainline: true,
};

static GEN6_6XXX: FamilySpec = FamilySpec {
    family: Family::Gen6_6xxx,
    name: "6xxx",
    generation: Generation::Gen6,
    pf: PciId::new(INTEL, 0x4948),
    vf: PciId::new(INTEL, 0x4949),
    pf_driver: "6xxx",
    pf_module: "qat_6xxx",
    firmware: "qat_6xxx",
    vf_driver: "6xxxvf",
    vf_module: None,
    total_vfs: 16,
    services: ServiceSupport::Gen6,
    denylisted: false,
    mainline: true,
};
