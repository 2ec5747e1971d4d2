//! Which functions may be bound to what.

use std::collections::BTreeSet;

use sysfs_pci::DriverName;
use vfio_host::bind::BindRules;

use crate::drivers::vfio_drivers;
use crate::family::Family;

/// The rules for binding the VFs of these families to a driver.
///
/// Only their VF ids are touched, never a PF. A VF may be taken from the kernel's own driver for it
/// ([`FamilySpec::vf_driver`](crate::FamilySpec::vf_driver)) and from no other: `uio_pci_generic`, say, or `pci-stub` is
/// somebody's decision. Whether the kernel uses a VF for cryptography of its own cannot be asked; who
/// does not want it taken leaves its family out.
pub fn bind_rules(families: &BTreeSet<Family>, driver: &DriverName) -> BindRules {
    let specs = || families.iter().map(|family| family.spec());
    BindRules {
        driver: driver.clone(),
        vfio: vfio_drivers(),
        ids: specs().map(|spec| spec.vf).collect(),
        denylisted: specs()
            .filter(|spec| spec.denylisted)
            .map(|spec| spec.vf)
            .collect(),
        take_from: specs()
            .filter_map(|spec| spec.vf_driver.parse().ok())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{FunctionKind, identify};

    #[test]
    fn only_vfs_of_the_families_are_touched() {
        let driver: DriverName = "vfio-pci".parse().unwrap();
        let rules = bind_rules(&Family::all().iter().copied().collect(), &driver);
        assert_eq!(rules.ids.len(), Family::all().len());
        for id in &rules.ids {
            assert!(matches!(identify(*id), Some((_, FunctionKind::Vf))), "{id}");
        }
        assert_eq!(rules.denylisted.len(), 3);
        assert!(!rules.take_from.contains(&driver));

        let one = bind_rules(&[Family::C62x].into(), &driver);
        assert_eq!(one.ids, one.denylisted);
        assert_eq!(one.take_from, ["c6xxvf".parse().unwrap()].into());
    }
}
