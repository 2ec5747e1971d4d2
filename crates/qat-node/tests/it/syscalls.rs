//! The figures of file system calls.
//!
//! A full look may make at most 20 + 15 per PF + 8 per VF calls, and 4 more for each other function
//! on the first one. The calls are counted where they are made: every file system call of a look
//! goes through `sysfs_pci::fs`.

use std::collections::BTreeSet;
use std::fs;

use node_sim::{Machine, Profile};
use qat_node::{Looker, Roots};
use qat_policy::{Family, ResourceNames, Rules, VfDrivers};

fn rules() -> Rules {
    Rules {
        families: Family::all().iter().copied().collect(),
        names: ResourceNames::Canonical.into(),
        drivers: VfDrivers::default(),
        cap: None,
    }
}

/// Calls of the first look and of the second, and the number of PFs, VFs and other functions.
fn count(machine: Machine) -> (u64, u64, u64, u64, u64) {
    let dir = node_sim::scratch().unwrap();
    let node = machine.write(dir.path()).unwrap();
    let functions = fs::read_dir(node.sysfs().join("bus/pci/devices"))
        .unwrap()
        .count();
    let roots = Roots::new(node.sysfs(), node.dev()).with_kubelet(node.kubelet_dir());
    let mut looker = Looker::new(&roots, rules());
    let first = looker.look(&BTreeSet::new()).unwrap();
    let second = looker.look(&BTreeSet::new()).unwrap();
    let (pfs, vfs) = (node.pfs().len(), node.vfs().len());
    assert_eq!(first.inventory.vfs.len(), vfs);
    let others = functions - pfs - vfs;
    (
        first.calls,
        second.calls,
        pfs as u64,
        vfs as u64,
        others as u64,
    )
}

#[test]
fn a_look_stays_within_its_budget() {
    for profile in [
        Profile::C62x,
        Profile::Xeon4xxx,
        Profile::Xeon4xxxTwoSockets,
        Profile::X401xx,
    ] {
        let (first, second, pfs, vfs, others) = count(Machine::profile(profile));
        let steady = 20 + 15 * pfs + 8 * vfs;
        assert!(
            first <= steady + 4 * others,
            "{profile:?}: {first} calls at first"
        );
        assert!(second <= steady, "{profile:?}: {second} calls again");
    }
}

#[test]
fn a_look_is_linear() {
    let (_, small, ..) = count(Machine::profile(Profile::Scale { pfs: 1, vfs: 16 }));
    let (_, large, ..) = count(Machine::profile(Profile::Scale { pfs: 16, vfs: 64 }));
    // 64 times the VFs on 16 times the PFs.
    assert!(
        large <= small * 64,
        "{small} calls for 16 VFs, {large} for 1024"
    );
}
