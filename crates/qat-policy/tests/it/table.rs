//! The table of families against a second writing of the same facts.

use std::collections::BTreeSet;

use qat_policy::{Family, FunctionKind, Generation, ServiceSupport, depth, identify};
use sysfs_pci::{Depth, PciId};

type Row = (
    Family,
    &'static str,
    u8,
    u16,
    u16,
    &'static str,
    &'static str,
    u16,
    ServiceSupport,
    bool,
);

const ROWS: [Row; 11] = [
    (
        Family::Dh895xcc,
        "dh895xcc",
        1,
        0x0435,
        0x0443,
        "dh895xcc",
        "dh895xccvf",
        32,
        ServiceSupport::Fixed,
        true,
    ),
    (
        Family::C3xxx,
        "c3xxx",
        2,
        0x19e2,
        0x19e3,
        "c3xxx",
        "c3xxxvf",
        16,
        ServiceSupport::Fixed,
        true,
    ),
    (
        Family::C62x,
        "c62x",
        2,
        0x37c8,
        0x37c9,
        "c6xx",
        "c6xxvf",
        16,
        ServiceSupport::Fixed,
        true,
    ),
    (
        Family::D15xx,
        "d15xx",
        2,
        0x6f54,
        0x6f55,
        "d15xx",
        "d15xxvf",
        16,
        ServiceSupport::Fixed,
        false,
    ),
    (
        Family::C200xx,
        "200xx",
        2,
        0x18ee,
        0x18ef,
        "200xx",
        "200xxvf",
        16,
        ServiceSupport::Fixed,
        false,
    ),
    (
        Family::C4xxx,
        "c4xxx",
        3,
        0x18a0,
        0x18a1,
        "c4xxx",
        "c4xxxvf",
        128,
        ServiceSupport::Fixed,
        false,
    ),
    (
        Family::Gen4_4xxx,
        "4xxx",
        4,
        0x4940,
        0x4941,
        "4xxx",
        "4xxxvf",
        16,
        ServiceSupport::Gen4,
        false,
    ),
    (
        Family::Gen4_401xx,
        "401xx",
        4,
        0x4942,
        0x4943,
        "4xxx",
        "4xxxvf",
        16,
        ServiceSupport::Gen4,
        false,
    ),
    (
        Family::Gen4_402xx,
        "402xx",
        4,
        0x4944,
        0x4945,
        "4xxx",
        "4xxxvf",
        16,
        ServiceSupport::Gen4,
        false,
    ),
    (
        Family::Gen5_420xx,
        "420xx",
        5,
        0x4946,
        0x4947,
        "420xx",
        "420xxvf",
        16,
        ServiceSupport::Gen4,
        false,
    ),
    (
        Family::Gen6_6xxx,
        "6xxx",
        6,
        0x4948,
        0x4949,
        "6xxx",
        "6xxxvf",
        16,
        ServiceSupport::Gen6,
        false,
    ),
];

#[test]
fn every_family() {
    assert_eq!(Family::all(), ROWS.map(|row| row.0));
    for (family, name, generation, pf, vf, pf_driver, vf_driver, total, services, denylisted) in
        ROWS
    {
        let spec = family.spec();
        assert_eq!(spec.family, family);
        assert_eq!((spec.name, spec.generation.number()), (name, generation));
        assert_eq!(
            (spec.pf, spec.vf),
            (PciId::new(0x8086, pf), PciId::new(0x8086, vf)),
            "{family}"
        );
        assert_eq!(
            (spec.pf_driver, spec.vf_driver),
            (pf_driver, vf_driver),
            "{family}"
        );
        assert_eq!(
            (spec.total_vfs, spec.services, spec.denylisted),
            (total, services, denylisted),
            "{family}"
        );
        assert!(
            spec.pf_module.starts_with("qat_")
                && spec.vf_module.is_none_or(|module| module.ends_with("vf"))
        );
        assert_eq!(
            spec.services.is_configurable(),
            spec.generation >= Generation::Gen4,
            "{family}"
        );
        assert_eq!(
            spec.mainline,
            !["d15xx", "200xx", "c4xxx"].contains(&name),
            "{family}"
        );
    }
}

#[test]
fn modules_that_are_not_called_like_the_driver() {
    let c62x = Family::C62x.spec();
    assert_eq!(
        (c62x.pf_module, c62x.vf_module),
        ("qat_c62x", Some("qat_c62xvf"))
    );
    for family in [Family::Gen4_4xxx, Family::Gen4_401xx, Family::Gen4_402xx] {
        assert_eq!(
            (family.spec().pf_module, family.spec().vf_module),
            ("qat_4xxx", None)
        );
    }
}

#[test]
fn ids_are_found() {
    let mut seen = BTreeSet::new();
    for family in Family::all() {
        let spec = family.spec();
        assert_eq!(identify(spec.pf), Some((*family, FunctionKind::Pf)));
        assert_eq!(identify(spec.vf), Some((*family, FunctionKind::Vf)));
        assert_eq!(
            (depth(spec.pf), depth(spec.vf)),
            (Depth::Physical, Depth::Function)
        );
        assert!(
            seen.insert(spec.pf) && seen.insert(spec.vf),
            "{family} has an id of another family"
        );
    }
}

#[test]
fn look_alikes_are_not() {
    // A Marvin Test board, an NVIDIA bridge, a Matrox card, a Siemens and a made-up device with
    // numbers of ours; Intel's DSA, a vQAT, a wireless variant and two dead families.
    let ids = "10de:4941 16e2:4943 10de:0443 102b:4949 110a:4942 8086:0b25 8086:0cfe 8086:0da5 8086:578b 8086:0434 \
               8086:0442 8086:1f18 8086:494a 0000:0000 ffff:ffff";
    for id in ids.split_whitespace() {
        let id: PciId = id.parse().unwrap();
        assert_eq!(identify(id), None, "{id}");
        assert_eq!(depth(id), Depth::Identity, "{id}");
    }
}

#[test]
fn families_as_text() {
    for family in Family::all() {
        assert_eq!(family.to_string().parse::<Family>().unwrap(), *family);
        let json = serde_json::to_string(family).unwrap();
        assert_eq!(json, format!("\"{family}\""));
        assert_eq!(serde_json::from_str::<Family>(&json).unwrap(), *family);
    }
    let error = "4XXX".parse::<Family>().unwrap_err().to_string();
    assert!(
        error.starts_with("unknown QAT family `4XXX`; known are: dh895xcc, c3xxx, c62x,"),
        "{error}"
    );
    assert!(error.contains("4xxx, 401xx, 402xx, 420xx, 6xxx"), "{error}");
}
