//! Attributes of the profiles: what they say, and who may.

use std::{fs, os::unix::fs::PermissionsExt};

use node_sim::Profile;
use sysfs_pci::NumaNode;

use super::{at, attr, scan, write_profile};

#[test]
fn attributes_read_as_the_kernel_formats_them() {
    let sim = write_profile(Profile::Xeon4xxxTwoSockets);
    let node = &sim.node;
    let alias = "pci:v00008086d00004940sv00008086sd00000000bc0Bsc40i00";
    assert_eq!(attr(node, "0000:6b:00.0", "modalias"), alias);
    assert_eq!(
        attr(node, "0000:6b:00.0", "uevent"),
        format!(
            "DRIVER=4xxx\nPCI_CLASS=B4000\nPCI_ID=8086:4940\nPCI_SUBSYS_ID=8086:0000\n\
             PCI_SLOT_NAME=0000:6b:00.0\nMODALIAS={alias}"
        )
    );
    assert_eq!(attr(node, "0000:6b:00.0", "enable"), "1");
    assert_eq!(attr(node, "0000:6b:00.1", "enable"), "0");
    assert_eq!(attr(node, "0000:6b:00.0", "driver_override"), "(null)");
    assert_eq!(attr(node, "0000:e8:00.1", "numa_node"), "1");
    assert_eq!(attr(node, "0000:e8:00.1", "local_cpulist"), "32-63,96-127");
    let services = |pf: &str| attr(node, pf, "qat/cfg_services");
    assert_eq!(services("0000:6b:00.0"), "sym;asym");
    assert_eq!(services("0000:70:00.0"), "dc");
    let cfg = node.debugfs().join("qat_4xxx_0000:70:00.0/dev_cfg");
    let cfg = fs::read_to_string(cfg).unwrap();
    assert!(cfg.contains("[GENERAL]\nServicesEnabled = dc\n"));
    let config = |address| fs::read(node.device(at(address)).join("config")).unwrap();
    assert_eq!(config("0000:6b:00.0")[..4], [0x86, 0x80, 0x40, 0x49]);
    assert_eq!(config("0000:6b:00.1")[..4], [0xff; 4]);
    assert_eq!(config("0000:6b:00.1")[8..12], [0x40, 0x00, 0x40, 0x0b]);
}

#[test]
fn modes_are_those_of_the_kernel() {
    let sim = write_profile(Profile::Xeon4xxx);
    let mode = |path: &str| {
        let meta = sim.node.sysfs().join(path).metadata().unwrap();
        meta.permissions().mode() & 0o777
    };
    let pf = |name: &str| mode(&format!("bus/pci/devices/0000:6b:00.0/{name}"));
    for name in [
        "vendor",
        "device",
        "class",
        "modalias",
        "sriov_totalvfs",
        "qat/num_rps",
    ] {
        assert_eq!(pf(name), 0o444, "{name}");
    }
    for name in [
        "driver_override",
        "sriov_numvfs",
        "numa_node",
        "enable",
        "qat/state",
        "config",
    ] {
        assert_eq!(pf(name), 0o644, "{name}");
    }
    for name in ["reset", "qat_ras/reset_error_counters", "qat_rl/sla_op"] {
        assert_eq!(pf(name), 0o200, "{name}");
    }
    assert_eq!(pf("remove"), 0o220);
    assert_eq!(mode("bus/pci/drivers/vfio-pci/bind"), 0o200);
    assert_eq!(mode("kernel/iommu_groups/320/type"), 0o644);
    assert_eq!(mode("kernel/debug"), 0o700);
    let heartbeat = "kernel/debug/qat_4xxx_0000:6b:00.0/heartbeat";
    assert_eq!(mode(&format!("{heartbeat}/status")), 0o400);
    assert_eq!(mode(&format!("{heartbeat}/config")), 0o600);
}

#[test]
fn numa_nodes_are_those_of_the_sockets() {
    let sim = write_profile(Profile::X401xx);
    let snapshot = scan(&sim.node);
    let node = |address| snapshot.numa_node(at(address));
    assert_eq!(node("0000:7a:00.3"), Some(NumaNode::new(0)));
    assert_eq!(node("0000:f3:00.0"), Some(NumaNode::new(1)));
    let sim = write_profile(Profile::C3xxx);
    assert_eq!(scan(&sim.node).numa_node(at("0000:01:00.0")), None);
}
