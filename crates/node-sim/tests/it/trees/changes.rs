//! Each change makes the difference that it names.

use std::fs;

use node_sim::{
    CdevNodes, Change, DescriptionError, FunctionSpec, Heartbeat, Machine, PfSpec, Profile,
    SimError,
};
use sysfs_pci::{PciAddress, Role};

use super::{
    Sim, assert_links_resolve, assert_scan_agrees, at, attr, contents, driver_in, link, scan, write,
};

fn c62x() -> Machine {
    Machine::profile(Profile::C62x)
}

fn xeon() -> Machine {
    Machine::profile(Profile::Xeon4xxx)
}

/// Writes a machine whose tree must be sound.
#[track_caller]
fn sound(machine: Machine) -> Sim {
    let sim = write(machine);
    assert_links_resolve(sim.dir.path());
    assert_scan_agrees(&sim.node);
    sim
}

fn pf() -> PciAddress {
    at("0000:6b:00.0")
}

fn vf() -> PciAddress {
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
fn no_iommu_at_all() {
    let sim = sound(xeon().with(Change::NoIommu));
    for dir in ["class/iommu", "kernel/iommu_groups", "class/vfio"] {
        let entries = fs::read_dir(sim.node.sysfs().join(dir)).unwrap();
        assert_eq!(entries.count(), 0, "{dir}");
    }
    assert_eq!(sim.node.driver_of(vf()), None);
}

#[test]
fn no_iommu_mode() {
    let sim = sound(xeon().with(Change::NoIommuMode));
    assert_eq!(
        link(&sim.node, "class/vfio/noiommu-0"),
        "../../devices/virtual/vfio/noiommu-0"
    );
    assert!(sim.node.dev().join("vfio/noiommu-63").exists());
    assert!(!sim.node.dev().join("vfio/0").exists());
    let group = |name: &str| {
        fs::read_to_string(sim.node.sysfs().join("kernel/iommu_groups/5").join(name)).unwrap()
    };
    assert_eq!(group("name"), "vfio-noiommu\n");
    assert_eq!(group("type"), "unknown\n");
    assert_eq!(group("reserved_regions"), "");
    let mode = "module/vfio/parameters/enable_unsafe_noiommu_mode";
    let mode = fs::read_to_string(sim.node.sysfs().join(mode)).unwrap();
    assert_eq!(mode, "Y\n");
    // The group comes and goes with the driver.
    sim.node.unbind(vf()).unwrap();
    assert!(!sim.node.sysfs().join("kernel/iommu_groups/0").exists());
    assert!(!sim.node.device(vf()).join("iommu_group").exists());
    sim.node.bind(vf(), "vfio-pci").unwrap();
    assert!(sim.node.dev().join("vfio/noiommu-0").exists());
    assert_scan_agrees(&sim.node);
}

#[test]
fn iommu_passthrough() {
    let sim = sound(xeon().with(Change::IommuPassthrough));
    let kind = sim.node.sysfs().join("kernel/iommu_groups/320/type");
    assert_eq!(fs::read_to_string(kind).unwrap(), "identity\n");
}

#[test]
fn groups_missing_and_shared() {
    let sim = sound(xeon().with(Change::NoIommuGroup(vf())));
    assert_eq!(sim.node.group_of(vf()), None);
    assert!(!sim.node.dev().join("vfio/320").exists());

    let b = at("0000:6b:00.2");
    let sim = sound(xeon().with(Change::SharedGroup { a: vf(), b }));
    assert_eq!(sim.node.group_of(vf()), sim.node.group_of(b));
    // The node stays until the last member is unbound.
    let node = sim.node.dev().join("vfio/320");
    sim.node.unbind(vf()).unwrap();
    assert!(node.exists());
    sim.node.unbind(b).unwrap();
    assert!(!node.exists());

    let change = Change::NicInGroup {
        of: vf(),
        driver: Some("ixgbe"),
    };
    let sim = sound(xeon().with(change));
    let snapshot = scan(&sim.node);
    let group = sim.node.group_of(vf());
    let nic = snapshot
        .neighbours
        .values()
        .find(|n| n.iommu_group == group)
        .unwrap();
    assert_eq!(
        nic.driver.as_ref().map(ToString::to_string).as_deref(),
        Some("ixgbe")
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

#[test]
fn devices_of_other_vendors() {
    let bridge = FunctionSpec::new(at("0000:5d:00.0"), "8086:352a".parse().unwrap())
        .class(0x06_0400)
        .driver("pcieport");
    let disk = FunctionSpec::new(at("0000:5e:00.0"), "144d:a824".parse().unwrap())
        .class(0x01_0802)
        .behind(at("0000:5d:00.0"))
        .driver("nvme");
    let spec = PfSpec::new(disk, "144d:a825".parse().unwrap(), 8)
        .offset(2)
        .stride(2)
        .vf_driver("nvme_vfio_pci");
    let machine = Machine::new()
        .function(bridge)
        .vfio_driver("nvme_vfio_pci")
        .pf(spec);
    let sim = write(machine);
    assert_links_resolve(sim.dir.path());
    assert_eq!(sim.node.vfs()[7], at("0000:5e:02.0"));
    assert_eq!(attr(&sim.node, "0000:5e:00.2", "class"), "0x010802");
    assert_eq!(
        attr(&sim.node, "0000:5e:00.2", "driver_override"),
        "nvme_vfio_pci"
    );
    assert!(sim.node.dev().join("vfio/320").exists());
}

#[test]
fn wrong_descriptions_are_refused_before_anything_is_written() {
    let stranger = at("0000:99:00.0");
    let twice = FunctionSpec::new(pf(), "8086:4940".parse().unwrap());
    let above = FunctionSpec::new(stranger, "8086:4940".parse().unwrap()).behind(stranger);
    let last_bus = FunctionSpec::new(at("0000:ff:1f.0"), "8086:4940".parse().unwrap());
    let unplaced = PfSpec::new(last_bus, "8086:4941".parse().unwrap(), 16);
    for (machine, expected) in [
        (
            xeon().with(Change::NoVfs(stranger)),
            "no function `0000:99:00.0`",
        ),
        (
            xeon().with(Change::NoVfs(vf())),
            "`0000:6b:00.1` is not a physical function",
        ),
        (
            xeon().function(twice),
            "two functions have the address `0000:6b:00.0`",
        ),
        (xeon().function(above), "lead in a circle"),
        (xeon().pf(unplaced), "VF 7 of `0000:ff:1f.0` has no address"),
        (
            Machine::profile(Profile::Scale { pfs: 17, vfs: 1 }),
            "at most 16",
        ),
        (
            xeon()
                .with(Change::NoIommu)
                .with(Change::SharedGroup { a: vf(), b: pf() }),
            "has no IOMMU group",
        ),
    ] {
        let dir = node_sim::scratch().unwrap();
        let error = machine.write(dir.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(contents(dir.path()).is_empty());
    }
}
