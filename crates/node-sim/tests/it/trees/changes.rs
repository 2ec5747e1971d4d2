//! Each change makes the difference that it names.

use std::fs;

use node_sim::{CdevNodes, Change, DescriptionError, Heartbeat, Machine, Profile, SimError};
use sysfs_pci::{PciAddress, Role};

use super::{
    Sim, assert_links_resolve, assert_scan_agrees, at, attr, contents, driver_in, link, scan, write,
};

pub(super) fn c62x() -> Machine {
    Machine::profile(Profile::C62x)
}

pub(super) fn xeon() -> Machine {
    Machine::profile(Profile::Xeon4xxx)
}

/// Writes a machine whose tree must be sound.
#[track_caller]
pub(super) fn sound(machine: Machine) -> Sim {
    let sim = write(machine);
    assert_links_resolve(sim.dir.path());
    assert_scan_agrees(&sim.node);
    sim
}

pub(super) fn pf() -> PciAddress {
    at("0000:6b:00.0")
}

pub(super) fn vf() -> PciAddress {
    at("0000:6b:00.1")
}

#[test]
fn a_pf_without_vfs() {
    let sim = sound(xeon().with(Change::NoVfs(pf())));
    assert_eq!(sim.node.vfs().len(), 48);
    assert_eq!(attr(&sim.node, "0000:6b:00.0", "sriov_numvfs"), "0");
    assert_eq!(attr(&sim.node, "0000:6b:00.0", "sriov_totalvfs"), "16");
}

#[test]
fn a_pf_without_sriov() {
    let sim = sound(xeon().with(Change::SriovOff(pf())));
    let dir = contents(&sim.node.device(pf()));
    let sriov = |name: &str| name.starts_with("sriov_") || name.starts_with("virtfn");
    assert!(!dir.keys().any(|name| sriov(name.to_str().unwrap())));
    let Role::Physical(sriov) = &scan(&sim.node).functions[&pf()].role else {
        panic!("the scan was asked to see a PF");
    };
    assert!(!sriov.capable);
}

#[test]
fn drivers_of_one_and_of_all() {
    for driver in [
        None,
        Some("c6xxvf"),
        Some("qat_vfio_pci"),
        Some("uio_pci_generic"),
    ] {
        let address = at("0000:3d:01.0");
        let sim = sound(c62x().with(Change::Driver { address, driver }));
        assert_eq!(sim.node.driver_of(address).as_deref(), driver);
        let vfio = driver == Some("qat_vfio_pci");
        let group = sim.node.group_of(address).unwrap();
        let has_node = sim.node.dev().join(format!("vfio/{group}")).exists();
        assert_eq!(has_node, vfio, "{driver:?}");

        let sim = sound(c62x().with(Change::AllVfsOn(driver)));
        let snapshot = scan(&sim.node);
        let vfs = sim.node.vfs();
        assert!(
            vfs.iter()
                .all(|vf| driver_in(&snapshot.functions[vf]) == driver)
        );
        let nodes = fs::read_dir(sim.node.dev().join("vfio")).unwrap().count();
        assert_eq!(nodes, if vfio { 50 } else { 1 });
    }
    let sim = sound(c62x().with(Change::AllVfsOn(Some("c6xxvf"))));
    assert_eq!(attr(&sim.node, "0000:3d:01.0", "enable"), "1");
    assert_eq!(attr(&sim.node, "0000:3d:01.0", "driver_override"), "(null)");
    assert_eq!(
        link(&sim.node, "bus/pci/drivers/c6xxvf/module"),
        "../../../../module/qat_c62xvf"
    );
}

#[test]
fn garbage_and_missing_attributes() {
    let garbage = b"\xff\xfe\0garbage";
    let change = Change::Garbage {
        address: vf(),
        attribute: "modalias",
        bytes: garbage,
    };
    let missing = Change::NoAttribute {
        address: pf(),
        attribute: "qat/state",
    };
    let sim = write(xeon().with(change).with(missing));
    let read = fs::read(sim.node.device(vf()).join("modalias")).unwrap();
    assert_eq!(read, garbage);
    assert!(!sim.node.device(pf()).join("qat/state").exists());
    let snapshot = scan(&sim.node);
    assert_eq!(snapshot.failures.len(), 1);
    assert_eq!(snapshot.functions.len(), 4 + 63);
}

#[test]
fn services_and_state() {
    let change = Change::Services {
        pf: pf(),
        text: "asym;sym",
    };
    let sim = sound(xeon().with(change));
    assert_eq!(
        attr(&sim.node, "0000:6b:00.0", "qat/cfg_services"),
        "asym;sym"
    );

    let sim = sound(xeon().with(Change::StateDown(pf())));
    assert_eq!(attr(&sim.node, "0000:6b:00.0", "qat/state"), "down");
    assert_eq!(sim.node.vfs_of(pf()), []);
    assert!(!sim.node.device(pf()).join("qat_ras").exists());
    let debugfs = sim.node.debugfs().join("qat_4xxx_0000:6b:00.0");
    assert!(debugfs.join("dev_cfg").exists());
    assert!(!debugfs.join("heartbeat").exists());

    let refused = c62x().with(Change::StateDown(at("0000:3d:00.0")));
    let dir = node_sim::scratch().unwrap();
    let error = refused.write(dir.path()).unwrap_err();
    assert!(matches!(
        error,
        SimError::Description(DescriptionError::NoAttribute { .. })
    ));
}

#[test]
fn pfs_without_their_driver() {
    for (change, driver, vfs) in [
        (Change::PfOnVfio(pf()), Some("vfio-pci"), 16),
        (Change::PfUnbound(pf()), None, 0),
    ] {
        let sim = sound(xeon().with(change));
        assert_eq!(sim.node.driver_of(pf()).as_deref(), driver);
        assert_eq!(sim.node.vfs_of(pf()).len(), vfs);
        assert!(!sim.node.device(pf()).join("qat").exists());
        assert!(!sim.node.debugfs().join("qat_4xxx_0000:6b:00.0").exists());
        assert_eq!(
            attr(&sim.node, "0000:6b:00.0", "sriov_numvfs"),
            vfs.to_string()
        );
    }
}

#[test]
fn look_alikes() {
    let sim = sound(xeon().with(Change::LookAlikes));
    let ids: Vec<String> = scan(&sim.node)
        .neighbours
        .values()
        .map(|neighbour| neighbour.id.to_string())
        .collect();
    assert!(ids.contains(&"10de:4941".to_owned()) && ids.contains(&"8086:0b25".to_owned()));
}

#[test]
fn numa_unknown_and_absent() {
    let sim = sound(xeon().with(Change::NumaUnknown(pf())));
    assert_eq!(attr(&sim.node, "0000:6b:00.1", "numa_node"), "-1");
    assert_eq!(scan(&sim.node).numa_node(vf()), None);
    let sim = sound(xeon().with(Change::NumaAbsent(pf())));
    assert!(!sim.node.device(vf()).join("numa_node").exists());
    assert_eq!(scan(&sim.node).numa_node(vf()), None);
}

#[test]
fn nodes_missing() {
    let sim = sound(
        xeon()
            .with(Change::NoNode(vf()))
            .with(Change::NoControlNode),
    );
    assert!(!sim.node.dev().join("vfio/320").exists());
    assert!(!sim.node.dev().join("vfio/vfio").exists());
    assert!(sim.node.dev().join("vfio/321").exists());
    sim.node.add_node(sim.node.group_of(vf()).unwrap()).unwrap();
    assert!(sim.node.dev().join("vfio/320").exists());
}

#[test]
fn denylist_in_force() {
    let sim = sound(c62x().with(Change::Denylist(true)));
    let parameter = sim
        .node
        .sysfs()
        .join("module/vfio_pci/parameters/disable_denylist");
    assert_eq!(fs::read_to_string(parameter).unwrap(), "N\n");
    assert!(
        sim.node
            .vfs()
            .iter()
            .all(|vf| sim.node.driver_of(*vf).is_none())
    );
    // Ids that are not listed do not care.
    let sim = sound(xeon().with(Change::Denylist(true)));
    assert!(sim.node.driver_of(vf()).is_some());
}

#[test]
fn another_domain() {
    let sim = sound(c62x().with(Change::Domain(0x1_0000)));
    assert_eq!(sim.node.vfs()[0].to_string(), "10000:3d:01.0");
    assert_eq!(
        link(&sim.node, "bus/pci/devices/10000:3d:01.0"),
        "../../../devices/pci10000:3a/10000:3a:00.0/10000:3b:00.0/10000:3c:03.0/10000:3d:01.0"
    );
    assert!(sim.node.debugfs().join("qat_c6xx_10000:3d:00.0").is_dir());
}

#[test]
fn per_device_nodes() {
    for (nodes, in_sysfs, in_dev) in [
        (CdevNodes::Present, true, true),
        (CdevNodes::SysfsOnly, true, false),
        (CdevNodes::NotBuilt, false, false),
    ] {
        let sim = sound(xeon().with(Change::Cdev(nodes)));
        let dir = sim.node.device(vf()).join("vfio-dev/vfio0");
        assert!(dir.is_dir());
        assert_eq!(dir.join("dev").exists(), in_sysfs);
        assert_eq!(sim.node.dev().join("vfio/devices/vfio0").exists(), in_dev);
    }
}

#[test]
fn heartbeats() {
    let bad = Heartbeat {
        alive: false,
        queries_sent: 7,
        queries_failed: 1,
    };
    let change = Change::Heartbeat {
        pf: pf(),
        heartbeat: Some(bad),
    };
    let sim = sound(xeon().with(change));
    let dir = sim.node.debugfs().join("qat_4xxx_0000:6b:00.0/heartbeat");
    assert_eq!(fs::read(dir.join("status")).unwrap(), b"-1\n\0");
    assert_eq!(fs::read(dir.join("queries_failed")).unwrap(), b"1\n\0");
    sim.node.set_heartbeat(pf(), None).unwrap();
    assert!(!dir.exists());
    let sim = sound(xeon().with(Change::NoDebugfs));
    assert!(!sim.node.debugfs().exists());
}
