//! The figures of file system calls.
//!
//! A full look may make at most 20 + 15 per PF + 8 per VF calls, and 4 more for each other function
//! on the first one. The calls are counted where they are made: every file system call of a look
//! goes through `sysfs_pci::fs`.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use node_sim::{Machine, Profile};
use passthrough::VfioInterface;
use qat_node::pools::{CdiMode, PoolConfig, PoolRule};
use qat_node::{CdiFiles, Ledger, Looker, NodeState, Roots};
use qat_policy::{Family, ResourceNames, Rules, VfDrivers};

use sysfs_pci::fs::calls;

use crate::machine::{Site, judged};

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

/// What a choice for a pool costs at each look, per VF, beside the look itself.
#[test]
fn what_a_pool_chooses_is_what_it_pays() {
    for (rule, per_vf) in [
        (PoolRule::default(), 0),
        // Its group's node.
        (with(None, CdiMode::Spec), 1),
        // And a listing, the numbers in sysfs, the node itself.
        (with(Some(VfioInterface::Cdev), CdiMode::Off), 9),
        (with(Some(VfioInterface::Cdev), CdiMode::Field), 9),
    ] {
        let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
        site.wish(|wishes| wishes.pools = Arc::new(PoolConfig::new(vec![rule]).unwrap()));
        fs::create_dir(&site.settings.roots.cdi).unwrap();
        let look = site.look();
        let state = judged(&NodeState::default(), &look);
        let mut files = CdiFiles::new(&site.settings);
        let before = calls();
        files.tend(&look.inventory, &state, &Ledger::default());
        let made = calls() - before;
        let vfs = site.node.vfs().len() as u64;
        // The control node, once for each of the two pools.
        assert!(
            made.abs_diff(per_vf * vfs) <= 2,
            "{made} calls for {vfs} VFs"
        );
    }
}

fn with(interface: Option<VfioInterface>, cdi: CdiMode) -> PoolRule {
    PoolRule {
        interface,
        cdi: Some(cdi),
        ..PoolRule::default()
    }
}
