//! PCI functions and SR-IOV, as the kernel shows them and as our crates see them.

use std::collections::BTreeSet;

use qat_node::{Looker, Roots};
use qat_policy::{Inventory, Reason, Rules, Standing};
use rustix::io::Errno;
use sysfs_class::{PciDevice, SysClass as _};
use sysfs_pci::blocking::MayBlock;
use sysfs_pci::{Depth, NumaNode, PciAddress, Role, VfIndex, Write, scan};

use super::{GEN2, GEN4, GEN6, cases};
use crate::guest::{Guest, at};

cases![
    vfs_are_made_all_or_none,
    vfs_have_their_addresses_and_numbers,
    functions_are_seen_as_another_crate_sees_them,
    the_inventory_says_what_each_function_is,
    numa_nodes_are_those_of_the_root_bus,
    every_vf_has_a_group_of_its_own,
];

/// The module ignores the number, as the driver does: it makes all virtual functions, and no others once
/// there are some.
fn vfs_are_made_all_or_none(guest: &Guest) {
    let sysfs = &guest.host.sysfs;
    let ask = |count| {
        let write = Write::NumVfs {
            address: GEN4,
            count,
        };
        write
            .perform(&MayBlock::acknowledged(), sysfs)
            .map_err(|error| error.errno())
    };
    assert_eq!(sysfs_pci::total_vfs(sysfs, GEN4), Ok(Some(16)));
    assert_eq!(ask(17), Err(Errno::RANGE.raw_os_error()));
    assert_eq!(guest.vfs(GEN4), []);
    assert_eq!(ask(3), Ok(()));
    assert_eq!(guest.vfs(GEN4).len(), 16);
    assert_eq!(sysfs_pci::vf_links(sysfs, GEN4).unwrap().len(), 16);
    assert_eq!(ask(16), Ok(()));
    assert_eq!(ask(4), Err(Errno::BUSY.raw_os_error()));
    assert_eq!(ask(0), Ok(()));
    assert_eq!(guest.vfs(GEN4), []);
}

fn vfs_have_their_addresses_and_numbers(guest: &Guest) {
    for (pf, first, last, offset) in [
        (GEN4, "0000:6b:00.1", "0000:6b:02.0", 1),
        (GEN2, "0000:3d:01.0", "0000:3d:02.7", 8),
        (GEN6, "0000:70:00.1", "0000:70:00.4", 1),
    ] {
        let vfs = guest.make_vfs(pf);
        assert_eq!(
            (vfs.first(), vfs.last()),
            (Some(&at(first)), Some(&at(last)))
        );
        assert_eq!(
            sysfs_pci::vf_offset(&guest.host.sysfs, pf),
            Ok(Some(offset))
        );
        let snapshot = scan(&guest.host.sysfs, &qat_policy::depth).unwrap();
        assert_eq!(snapshot.failures, []);
        for (number, vf) in (0..).zip(vfs) {
            let index = Some(VfIndex::new(number));
            assert_eq!(
                snapshot.functions[&vf].role,
                Role::Virtual { pf, index },
                "{vf}"
            );
        }
    }
}

fn functions_are_seen_as_another_crate_sees_them(guest: &Guest) {
    all_vfs(guest);
    let snapshot = scan(&guest.host.sysfs, &|_| Depth::Function).unwrap();
    assert_eq!(snapshot.failures, []);
    let devices = PciDevice::all().unwrap();
    assert_eq!(devices.len(), snapshot.functions.len());
    for theirs in devices {
        let ours = &snapshot.functions[&at(theirs.id())];
        let seen = (
            ours.id.vendor,
            ours.id.device,
            ours.subsystem.vendor,
            ours.subsystem.device,
        );
        let expected = (
            theirs.vendor().unwrap(),
            theirs.device().unwrap(),
            theirs.subsystem_vendor().unwrap(),
            theirs.subsystem_device().unwrap(),
        );
        assert_eq!(seen, expected, "{}", ours.address);
        assert_eq!(
            ours.class.get(),
            theirs.class().unwrap(),
            "{}",
            ours.address
        );
        let expected = theirs.driver().ok().map(|driver| driver.id().to_owned());
        assert_eq!(ours.driver.as_ref().map(ToString::to_string), expected);
    }
}

fn the_inventory_says_what_each_function_is(guest: &Guest) {
    all_vfs(guest);
    let inventory = inventory();
    for (pf, family, driver, services, vfs) in [
        (GEN4, "4xxx", "4xxx", Some("sym;asym"), 16),
        (GEN2, "c62x", "c6xx", None, 16),
        (GEN6, "6xxx", "6xxx", Some("dc"), 4),
    ] {
        let pf = &inventory.pfs[&pf];
        let driver_is = pf.driver.as_ref().map(ToString::to_string);
        let services_are = pf
            .services
            .as_ref()
            .map(|services| services.as_read.as_str());
        assert_eq!(pf.family.to_string(), family);
        assert_eq!(driver_is.as_deref(), Some(driver));
        assert_eq!((services_are, pf.vf_count), (services, vfs), "{family}");
    }
    assert_eq!(inventory.vfs.len(), 36);
    for vf in inventory.vfs.values() {
        let Standing::Withheld(reason) = &vf.standing else {
            panic!("{} is offered without a VFIO driver", vf.address);
        };
        let denylisted = matches!(reason, Reason::Denylisted { .. });
        assert_eq!(denylisted, vf.pf == Some(GEN2), "{}: {reason}", vf.address);
    }
}

fn numa_nodes_are_those_of_the_root_bus(guest: &Guest) {
    all_vfs(guest);
    let inventory = inventory();
    for (pf, node) in [(GEN4, Some(1)), (GEN2, Some(0)), (GEN6, None)] {
        let node = node.map(NumaNode::new);
        assert_eq!(inventory.pfs[&pf].numa_node, node, "{pf}");
        let vfs = inventory.vfs.values().filter(|vf| vf.pf == Some(pf));
        assert!(vfs.clone().count() > 0);
        for vf in vfs {
            assert_eq!(vf.numa_node, node, "{}", vf.address);
        }
    }
}

fn every_vf_has_a_group_of_its_own(guest: &Guest) {
    let vfs = all_vfs(guest);
    let group = |vf: &PciAddress| sysfs_pci::iommu_group(&guest.host.sysfs, *vf).unwrap();
    let groups: BTreeSet<_> = vfs.iter().map(|vf| group(vf).expect("a group")).collect();
    assert_eq!(groups.len(), vfs.len());
    for pf in [GEN4, GEN2, GEN6] {
        assert!(!groups.contains(&group(&pf).unwrap()));
    }
}

/// Makes the virtual functions of every PF.
fn all_vfs(guest: &Guest) -> Vec<PciAddress> {
    [GEN4, GEN2, GEN6]
        .into_iter()
        .flat_map(|pf| guest.make_vfs(pf))
        .collect()
}

fn inventory() -> Inventory {
    let look = Looker::new(&Roots::default(), Rules::default()).look(&BTreeSet::new());
    let look = look.unwrap();
    assert_eq!(look.failures, []);
    look.inventory
}
