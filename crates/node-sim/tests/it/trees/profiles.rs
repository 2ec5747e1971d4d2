//! Profiles against the facts about the machines they stand for.

use std::fs;

use node_sim::{Machine, Profile};

use super::{
    assert_links_resolve, assert_same, assert_scan_agrees, at, attr, contents, is_node, link,
    write, write_profile,
};

/// One line of the table of device families: ids, PF driver, PFs, and of the
/// first PF: VFs, offset, address of the first and of the last.
struct Expected {
    profile: Profile,
    ids: (&'static str, &'static str),
    driver: &'static str,
    pfs: &'static [&'static str],
    vfs_each: usize,
    offset: &'static str,
    ends: (&'static str, &'static str),
}

#[rustfmt::skip]
const TABLE: [Expected; 9] = [
    Expected {
        profile: Profile::C62x, ids: ("37c8", "37c9"), driver: "c6xx",
        pfs: &["0000:3d:00.0", "0000:3f:00.0", "0000:da:00.0"],
        vfs_each: 16, offset: "8", ends: ("0000:3d:01.0", "0000:3d:02.7"),
    },
    Expected {
        profile: Profile::Xeon4xxx, ids: ("4940", "4941"), driver: "4xxx",
        pfs: &["0000:6b:00.0", "0000:70:00.0", "0000:75:00.0", "0000:7a:00.0"],
        vfs_each: 16, offset: "1", ends: ("0000:6b:00.1", "0000:6b:02.0"),
    },
    Expected {
        profile: Profile::Xeon4xxxTwoSockets, ids: ("4940", "4941"), driver: "4xxx",
        pfs: &[
            "0000:6b:00.0", "0000:70:00.0", "0000:75:00.0", "0000:7a:00.0",
            "0000:e8:00.0", "0000:ed:00.0", "0000:f2:00.0", "0000:f7:00.0",
        ],
        vfs_each: 16, offset: "1", ends: ("0000:6b:00.1", "0000:6b:02.0"),
    },
    Expected {
        profile: Profile::X401xx, ids: ("4942", "4943"), driver: "4xxx",
        pfs: &["0000:76:00.0", "0000:7a:00.0", "0000:f3:00.0", "0000:f7:00.0"],
        vfs_each: 16, offset: "1", ends: ("0000:76:00.1", "0000:76:02.0"),
    },
    Expected {
        profile: Profile::X402xx, ids: ("4944", "4945"), driver: "4xxx",
        pfs: &["0000:76:00.0", "0000:7a:00.0", "0000:f3:00.0", "0000:f7:00.0"],
        vfs_each: 16, offset: "1", ends: ("0000:76:00.1", "0000:76:02.0"),
    },
    Expected {
        profile: Profile::Dh895xcc, ids: ("0435", "0443"), driver: "dh895xcc",
        pfs: &["0000:03:00.0"],
        vfs_each: 32, offset: "8", ends: ("0000:03:01.0", "0000:03:04.7"),
    },
    Expected {
        profile: Profile::C3xxx, ids: ("19e2", "19e3"), driver: "c3xxx",
        pfs: &["0000:01:00.0"],
        vfs_each: 16, offset: "8", ends: ("0000:01:01.0", "0000:01:02.7"),
    },
    Expected {
        profile: Profile::X420xx, ids: ("4946", "4947"), driver: "420xx",
        pfs: &["0000:76:00.0", "0000:7a:00.0"],
        vfs_each: 16, offset: "1", ends: ("0000:76:00.1", "0000:76:02.0"),
    },
    Expected {
        profile: Profile::X6xxx, ids: ("4948", "4949"), driver: "6xxx",
        pfs: &["0000:6b:00.0", "0000:e8:00.0"],
        vfs_each: 16, offset: "1", ends: ("0000:6b:00.1", "0000:6b:02.0"),
    },
];

#[test]
fn hosts_are_as_the_table_says() {
    for expected in TABLE {
        let sim = write_profile(expected.profile);
        let node = &sim.node;
        let pfs: Vec<String> = node.pfs().iter().map(ToString::to_string).collect();
        assert_eq!(pfs, expected.pfs, "{:?}", expected.profile);
        assert_eq!(node.vfs().len(), pfs.len() * expected.vfs_each);
        for pf in &pfs {
            assert_eq!(attr(node, pf, "vendor"), "0x8086");
            assert_eq!(attr(node, pf, "device"), format!("0x{}", expected.ids.0));
            assert_eq!(attr(node, pf, "class"), "0x0b4000");
            assert_eq!(
                attr(node, pf, "sriov_vf_device"),
                *expected.ids.1.trim_start_matches('0')
            );
            assert_eq!(attr(node, pf, "sriov_offset"), expected.offset);
            assert_eq!(attr(node, pf, "sriov_stride"), "1");
            let total = expected.vfs_each.to_string();
            assert_eq!(attr(node, pf, "sriov_totalvfs"), total);
            assert_eq!(attr(node, pf, "sriov_numvfs"), total);
            let driver = link(node, &format!("bus/pci/devices/{pf}/driver"));
            assert!(driver.ends_with(&format!("bus/pci/drivers/{}", expected.driver)));
            let debugfs = format!("qat_{}_{pf}", expected.driver);
            let heartbeat = node.debugfs().join(debugfs).join("heartbeat/status");
            assert_eq!(fs::read(heartbeat).unwrap(), b"0\n\0");
        }
        let vfs = node.vfs_of(at(&pfs[0]));
        assert_eq!(vfs.first().copied(), Some(at(expected.ends.0)));
        assert_eq!(vfs.last().copied(), Some(at(expected.ends.1)));
        for vf in node.vfs() {
            let vf = vf.to_string();
            assert_eq!(attr(node, &vf, "device"), format!("0x{}", expected.ids.1));
            assert_eq!(attr(node, &vf, "driver_override"), "vfio-pci");
        }
    }
}

#[test]
fn every_link_resolves_and_every_vf_has_its_nodes() {
    for profile in Profile::ALL {
        let sim = write_profile(profile);
        let node = &sim.node;
        assert_links_resolve(sim.dir.path());
        assert!(is_node(node, "vfio", "class/misc/vfio/dev"));
        for (vf, number) in node.vfs().into_iter().zip(0..) {
            let group = node.group_of(vf).unwrap().to_string();
            assert!(is_node(node, &group, &format!("class/vfio/{group}/dev")));
            let cdev = format!("vfio{number}");
            let dev = format!("bus/pci/devices/{vf}/vfio-dev/{cdev}/dev");
            assert!(is_node(node, &format!("devices/{cdev}"), &dev));
        }
        assert!(!node.others().is_empty(), "{profile:?} has neighbours");
    }
}

#[test]
fn our_own_scan_reads_every_profile_back() {
    for profile in Profile::ALL {
        assert_scan_agrees(&write_profile(profile).node);
    }
}

#[test]
fn links_are_literally_those_of_the_kernel() {
    let sim = write_profile(Profile::Xeon4xxx);
    let pf = "devices/pci0000:6b/0000:6b:00.0";
    let vf = "devices/pci0000:6b/0000:6b:00.1";
    for (path, text) in [
        (
            "bus/pci/devices/0000:6b:00.0".to_owned(),
            "../../../devices/pci0000:6b/0000:6b:00.0",
        ),
        (
            "bus/pci/drivers/4xxx/0000:6b:00.0".to_owned(),
            "../../../../devices/pci0000:6b/0000:6b:00.0",
        ),
        (
            "bus/pci/drivers/4xxx/module".to_owned(),
            "../../../../module/qat_4xxx",
        ),
        (format!("{pf}/subsystem"), "../../../bus/pci"),
        (format!("{pf}/driver"), "../../../bus/pci/drivers/4xxx"),
        (
            format!("{pf}/iommu_group"),
            "../../../kernel/iommu_groups/112",
        ),
        (format!("{pf}/virtfn0"), "../0000:6b:00.1"),
        (format!("{pf}/virtfn6"), "../0000:6b:00.7"),
        (format!("{pf}/virtfn7"), "../0000:6b:01.0"),
        (format!("{pf}/virtfn15"), "../0000:6b:02.0"),
        (format!("{vf}/physfn"), "../0000:6b:00.0"),
        (format!("{vf}/driver"), "../../../bus/pci/drivers/vfio-pci"),
        (
            format!("{vf}/iommu_group"),
            "../../../kernel/iommu_groups/320",
        ),
        (
            "kernel/iommu_groups/320/devices/0000:6b:00.1".to_owned(),
            "../../../../devices/pci0000:6b/0000:6b:00.1",
        ),
        (
            format!("{vf}/vfio-dev/vfio0/device"),
            "../../../0000:6b:00.1",
        ),
        (
            format!("{vf}/vfio-dev/vfio0/subsystem"),
            "../../../../../class/vfio-dev",
        ),
        (
            "class/vfio-dev/vfio0".to_owned(),
            "../../devices/pci0000:6b/0000:6b:00.1/vfio-dev/vfio0",
        ),
        (
            "class/vfio/320".to_owned(),
            "../../devices/virtual/vfio/320",
        ),
    ] {
        assert_eq!(link(&sim.node, &path), text, "{path}");
    }

    let sim = write_profile(Profile::C62x);
    let pf = "devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0/0000:3c:03.0/0000:3d:00.0";
    for (name, text) in [
        ("driver", "../../../../../../bus/pci/drivers/c6xx"),
        ("iommu_group", "../../../../../../kernel/iommu_groups/60"),
        ("virtfn0", "../0000:3d:01.0"),
        ("virtfn7", "../0000:3d:01.7"),
        ("virtfn8", "../0000:3d:02.0"),
        ("virtfn15", "../0000:3d:02.7"),
    ] {
        assert_eq!(link(&sim.node, &format!("{pf}/{name}")), text, "{name}");
    }
    // A directory beside its PF, not in it.
    let sibling = pf.replace("0000:3d:00.0", "0000:3d:01.0");
    assert!(sim.node.sysfs().join(sibling).is_dir());
    assert_eq!(
        link(
            &write_profile(Profile::Dh895xcc).node,
            "bus/pci/devices/0000:03:00.0/virtfn31"
        ),
        "../0000:03:04.7"
    );
}

#[test]
fn only_new_families_have_configurable_services() {
    for expected in TABLE {
        let sim = write_profile(expected.profile);
        let has_services = sim.node.device(at(expected.pfs[0])).join("qat").is_dir();
        let new = expected.offset == "1";
        assert_eq!(has_services, new, "{:?}", expected.profile);
        let denylist = "module/vfio_pci/parameters/disable_denylist";
        let disabled = fs::read_to_string(sim.node.sysfs().join(denylist)).unwrap();
        assert_eq!(disabled, if new { "N\n" } else { "Y\n" });
    }
}

#[test]
fn guests_have_vfs_without_pfs() {
    for (profile, device) in [
        (Profile::Guest4xxx, "0x4941"),
        (Profile::GuestC62x, "0x37c9"),
    ] {
        let sim = write_profile(profile);
        assert_eq!(sim.node.pfs(), []);
        assert_eq!(sim.node.vfs(), [at("0000:05:00.0"), at("0000:0c:00.0")]);
        assert_eq!(attr(&sim.node, "0000:0c:00.0", "device"), device);
        let tree = contents(sim.dir.path());
        assert!(!tree.keys().any(|path| path.ends_with("physfn")));
    }
}

#[test]
fn two_writes_of_one_machine_are_equal() {
    let machine = Machine::profile(Profile::X402xx);
    let first = write(machine.clone());
    let second = write(machine);
    assert_same(&contents(first.dir.path()), second.dir.path());
}
