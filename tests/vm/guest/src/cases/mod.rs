//! The cases, by group.
//!
//! A case is a function that panics when something is not as it should be. It leaves the machine as it
//! found it, so far as it passes. A new one is a line in its group's list; a new group is a line here and
//! one in `tests/vm/ring/machines.rs`, which says on what machine it runs.

mod answer;
mod bind;
mod daemon;
mod groups;
mod inspect;
mod inuse;
mod noiommu;
mod pci;
mod provision;
mod uevents;

use sysfs_pci::PciAddress;

use crate::guest::Guest;

/// A 4xxx on node 1, whose 16 VFs have no driver of their own and follow at once.
const GEN4: PciAddress = pf(0x6b);

/// A C62x on node 0, whose 16 VFs are on vfio-pci's denylist, have a driver of the kernel, and follow after a
/// gap of 8.
const GEN2: PciAddress = pf(0x3d);

/// A 6xxx of which the firmware does not tell the node. It has 4 VFs.
const GEN6: PciAddress = pf(0x70);

/// A device such as none is made: 64 VFs without a driver of their own.
const MANY: PciAddress = pf(0x90);

/// Behind a port that keeps nothing apart, with 2 VFs.
const NO_ACS: PciAddress = pf(0xa0);

const fn pf(bus: u8) -> PciAddress {
    match PciAddress::new(0, bus, 0, 0) {
        Some(address) => address,
        None => panic!("device 0 has a function 0"),
    }
}

/// A case.
pub(crate) type Case = fn(&Guest);

/// All cases, by name, in the order in which they run.
pub(crate) fn all() -> Vec<(String, Case)> {
    let groups: [(&str, &[(&str, Case)]); 10] = [
        ("pci", pci::CASES),
        ("bind", bind::CASES),
        ("inuse", inuse::CASES),
        ("groups", groups::CASES),
        ("uevents", uevents::CASES),
        ("noiommu", noiommu::CASES),
        ("daemon", daemon::CASES),
        ("answer", answer::CASES),
        ("provision", provision::CASES),
        ("inspect", inspect::CASES),
    ];
    let cases = groups.into_iter().flat_map(|(group, cases)| {
        let name = move |case: &str| format!("{group}::{case}");
        cases
            .iter()
            .map(move |&(case, function)| (name(case), function))
    });
    cases.collect()
}

/// A group's list: each function under its own name.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(super) const CASES: &[(&str, $crate::cases::Case)] = &[$((stringify!($name), $name)),*];
    };
}
use cases;
