//! What a configuration file says for which node.

use std::fs::write;
use std::num::NonZeroUsize;
use std::time::Duration;

use node_sim::{Change, Machine, Profile};
use qat_node::config::{ThisNode, read_config};
use qat_node::pools::CdiMode;
use qat_policy::{AllocationPolicy, Family, PoolName};
use sysfs_pci::SysfsRoot;

use crate::config::{good, on};

#[test]
fn what_a_node_offers_is_that_of_its_overrides() {
    let config = good(
        "version: 1
offer: { maxDevices: 8, allocationPolicy: packed }
admin: { listen: '127.0.0.1:9746' }
health: { falls: 5 }
overrides:
  - nodes: ['edge-*']
    offer: { maxDevices: 4 }
    health: { quiet: 5m }
  - nodes: [edge-1]
    offer: { maxDevices: 2 }
",
    );
    let most = |node| on(&config, node).offer.max_devices.map(NonZeroUsize::get);
    assert_eq!(most(None), Some(8));
    assert_eq!(most(Some("core-1")), Some(8));
    assert_eq!(most(Some("edge-7")), Some(4));
    assert_eq!(most(Some("edge-1")), Some(2), "the last wins");
    let edge = on(&config, Some("edge-1")).offer;
    assert_eq!(edge.allocation_policy, Some(AllocationPolicy::Packed));
    let calm = on(&config, Some("edge-1")).calm();
    assert_eq!((calm.falls, calm.quiet), (5, Duration::from_mins(5)));
    assert!(on(&config, Some("edge-1")).admin.listen.is_some());
    assert!(config.names_nodes());
    assert!(!good("version: 1").names_nodes());
}

#[test]
fn overrides_and_rules_for_pools_go_by_hardware_too() {
    let config = good(
        "version: 1
pools:
  - hardware: [c62x, dh895xcc]
    cdi: spec
overrides:
  - hardware: [4xxx]
    offer: { maxDevices: 4 }
  - nodes: ['edge-*']
    hardware: [4xxx, 420xx]
    offer: { maxDevices: 2 }
",
    );
    let on = |name: Option<&str>, families: &[Family]| {
        let told = config.on(&ThisNode {
            name: name.map(str::to_owned),
            hardware: families.iter().copied().collect(),
        });
        let pool = told.pools().unwrap().of(&PoolName::generic());
        (told.offer.max_devices.map(NonZeroUsize::get), pool.cdi)
    };
    assert_eq!(on(None, &[]), (None, CdiMode::Off));
    assert_eq!(on(None, &[Family::C62x]), (None, CdiMode::Spec));
    let both = [Family::C62x, Family::Gen4_4xxx];
    assert_eq!(on(Some("core-1"), &both), (Some(4), CdiMode::Spec));
    assert_eq!(on(Some("edge-1"), &both), (Some(2), CdiMode::Spec));
    assert_eq!(on(Some("edge-1"), &both[..1]), (None, CdiMode::Spec));
}

#[test]
fn what_stands_for_nodes_by_hardware_is_checked_for_each_kind_of_node() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    let refused = |text: &str| {
        write(&path, format!("version: 1\n{text}")).unwrap();
        let error = read_config(&path).unwrap_err().to_string();
        error.replace(&path.display().to_string(), "FILE")
    };
    let twice = refused(
        "pools:
  - { hardware: [c62x], pool: dc, name: compress }
  - { hardware: [4xxx], pool: cy, name: compress }
",
    );
    assert!(
        twice.starts_with("`FILE` on a node with c62x and 4xxx: "),
        "{twice}"
    );
    let nobody = refused("overrides: [{ nodes: [a] }, { offer: { maxDevices: 1 } }]\n");
    assert_eq!(
        nobody,
        "`FILE`: override 2 has neither `nodes` nor `hardware`, so it is for no node; what is for all stands above"
    );
    let unknown = refused("overrides: [{ hardware: [5xxx] }]\n");
    assert!(unknown.contains("line 2"), "{unknown}");
    assert!(unknown.contains("5xxx"), "{unknown}");
}

#[test]
fn hardware_is_known_by_ids_whatever_drives_it() {
    let dir = node_sim::scratch().unwrap();
    let machine = Machine::profile(Profile::C62x).with(Change::AllVfsOn(None));
    machine.write(dir.path()).unwrap();
    let config = good(
        "version: 1
overrides:
  - { hardware: c62x, offer: { maxDevices: 4 } }
  - { hardware: 4xxx, offer: { maxDevices: 2 } }
",
    );
    let most = |root: &str| {
        let told = config.on_this_machine(None, &SysfsRoot::new(dir.path().join(root)));
        told.offer.max_devices.map(NonZeroUsize::get)
    };
    assert_eq!(most("sys"), Some(4));
    assert_eq!(most("absent"), None);
}
