//! The errno of every refusal, and that nothing has changed then.

use std::io::ErrorKind;

use node_sim::{
    Change, FunctionSpec, KernelRelease, Machine, PfSpec, Profile, SimNode, WriteOutcome,
};

use super::super::{assert_same, at, attr, contents, write, write_profile};
use super::{EACCES, EBUSY, EINVAL, EIO, ENODEV, ENOENT, ERANGE, driver, kernel, of, outcomes};

const PF: &str = "0000:6b:00.0";
const VF: &str = "0000:6b:00.1";

/// Each write is refused with its errno, and leaves the tree as it was.
#[track_caller]
fn refused(node: &SimNode, writes: &[(String, &str, i32)]) {
    let before = contents(node.root());
    for (path, text, errno) in writes {
        let answer = kernel(node, path, text);
        assert_eq!(answer, Err(*errno), "{text:?} to {path}");
        assert_same(&before, node.root());
    }
}

#[test]
fn bind_and_unbind_refuse_by_the_rules() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    let bind = || driver("vfio-pci", "bind");
    let unbind = || driver("vfio-pci", "unbind");
    refused(
        node,
        &[
            (bind(), VF, EBUSY),
            (bind(), "0000:6b:00.1\n\n", ENODEV),
            (bind(), "6b:00.1", ENODEV),
            (bind(), "0000:99:00.0\n", ENODEV),
            // No override, and vfio-pci knows no ids.
            (bind(), PF, ENODEV),
            (driver("4xxx", "bind"), PF, EBUSY),
            (driver("4xxx", "bind"), VF, ENODEV),
            (driver("4xxx", "unbind"), VF, ENODEV),
            (unbind(), PF, ENODEV),
            (unbind(), "0000:99:00.0", ENODEV),
            (driver("igb", "unbind"), VF, ENOENT),
            ("bus/pci/drivers_probe".to_owned(), "0000:99:00.0\n", ENODEV),
            (of("0000:99:00.0", "driver_override"), "x\n", ENOENT),
            (of(VF, "vendor"), "0x8087\n", EACCES),
        ],
    );
    // A driver that is bound to nothing has the file, through its own directory alone.
    assert_eq!(kernel(node, &of(VF, "driver/unbind"), VF), Ok(()));
    refused(
        node,
        &[
            (of(VF, "driver/unbind"), VF, ENOENT),
            (unbind(), VF, ENODEV),
        ],
    );
    // The override names another driver.
    assert_eq!(
        kernel(node, &of(VF, "driver_override"), "qat_vfio_pci\n"),
        Ok(())
    );
    refused(node, &[(bind(), VF, ENODEV)]);
    assert_eq!(kernel(node, &of(VF, "driver_override"), "\n"), Ok(()));
    assert_eq!(attr(node, VF, "driver_override"), "(null)");
    refused(node, &[(bind(), VF, ENODEV)]);
    // Success does not mean that it is bound.
    assert_eq!(kernel(node, "bus/pci/drivers_probe", VF), Ok(()));
    assert_eq!(node.driver_of(at(VF)), None);
    assert_eq!(kernel(node, &of(VF, "driver_override"), "vfio-pci"), Ok(()));
    assert_eq!(kernel(node, "bus/pci/drivers_probe", VF), Ok(()));
    assert_eq!(node.driver_of(at(VF)).as_deref(), Some("vfio-pci"));
    assert_same(
        &contents(write_profile(Profile::Xeon4xxx).dir.path()),
        node.root(),
    );
}

#[test]
fn an_override_has_its_limits() {
    let sim = write_profile(Profile::Xeon4xxx);
    let long = "a".repeat(4095);
    refused(&sim.node, &[(of(VF, "driver_override"), &long, EINVAL)]);
    // A write of no bytes never reaches the kernel.
    let before = contents(sim.dir.path());
    assert_eq!(kernel(&sim.node, &of(VF, "driver_override"), ""), Ok(()));
    assert_same(&before, sim.dir.path());
    assert_eq!(sim.node.writes().len(), 1);
    let (path, bytes) = (of(VF, "driver_override"), b"\0".as_slice());
    sim.node.write_as_kernel(path, bytes).unwrap();
    assert_eq!(attr(&sim.node, VF, "driver_override"), "(null)");
}

#[test]
fn vfio_pci_has_its_own_refusals() {
    // On the denylist.
    let vf = "0000:3d:01.0";
    let machine = Machine::profile(Profile::C62x).with(Change::Denylist(true));
    let sim = write(machine);
    kernel(&sim.node, &of(vf, "driver_override"), "vfio-pci").unwrap();
    refused(&sim.node, &[(driver("vfio-pci", "bind"), vf, EINVAL)]);
    // There the variant driver has no denylist, but wants a PF that can migrate.
    let sim = write_profile(Profile::C62x);
    sim.node.unbind(at(vf)).unwrap();
    let other = at("0000:3d:01.1");
    sim.node.unbind(other).unwrap();
    sim.node.bind(other, "qat_vfio_pci").unwrap();
    kernel(&sim.node, &of(vf, "driver_override"), "qat_vfio_pci").unwrap();
    refused(&sim.node, &[(driver("qat_vfio_pci", "bind"), vf, ENODEV)]);
    // No IOMMU.
    let sim = write(Machine::profile(Profile::Xeon4xxx).with(Change::NoIommu));
    kernel(&sim.node, &of(VF, "driver_override"), "vfio-pci").unwrap();
    refused(&sim.node, &[(driver("vfio-pci", "bind"), VF, EINVAL)]);
    // A PF that has VFs.
    let sim = write_profile(Profile::Xeon4xxx);
    let machine = Machine::profile(Profile::Xeon4xxx).with(Change::Driver {
        address: at(PF),
        driver: None,
    });
    drop(sim);
    let sim = write(machine);
    kernel(&sim.node, &of(PF, "driver_override"), "vfio-pci").unwrap();
    refused(&sim.node, &[(driver("vfio-pci", "bind"), PF, EBUSY)]);
}

#[test]
fn a_normal_driver_cannot_have_what_shares_a_group_that_is_in_use() {
    let (of_vf, nic) = (at(VF), "0000:fe:00.0");
    let machine = Machine::profile(Profile::Xeon4xxx).with(Change::NicInGroup {
        of: of_vf,
        driver: Some("ixgbe"),
    });
    let sim = write(machine);
    kernel(&sim.node, &driver("ixgbe", "unbind"), nic).unwrap();
    sim.node.hold(of_vf).unwrap();
    refused(&sim.node, &[(driver("ixgbe", "bind"), nic, EBUSY)]);
    sim.node.release(of_vf).unwrap();
    kernel(&sim.node, &driver("ixgbe", "bind"), nic).unwrap();
}

#[test]
fn numvfs_refuses_by_the_rules() {
    let sim = write_profile(Profile::Xeon4xxx);
    let numvfs = || of(PF, "sriov_numvfs");
    refused(
        &sim.node,
        &[
            (numvfs(), "8\n", EBUSY),
            (numvfs(), "17\n", ERANGE),
            (numvfs(), "many\n", EINVAL),
            (numvfs(), "-1\n", EINVAL),
            (numvfs(), "65536\n", EINVAL),
            (of(PF, "sriov_drivers_autoprobe"), "maybe\n", EINVAL),
            (of(VF, "sriov_numvfs"), "1\n", ENOENT),
        ],
    );
    let before = contents(sim.dir.path());
    assert_eq!(kernel(&sim.node, &numvfs(), "16\n"), Ok(()));
    assert_same(&before, sim.dir.path());

    // Busy, then without its driver.
    sim.node.set_busy(at(PF), true).unwrap();
    refused(
        &sim.node,
        &[
            (numvfs(), "0\n", EBUSY),
            (of(PF, "qat/state"), "down\n", EBUSY),
            (of(PF, "qat/state"), "up\n", EBUSY),
        ],
    );
    sim.node.set_busy(at(PF), false).unwrap();
    kernel(&sim.node, &driver("4xxx", "unbind"), PF).unwrap();
    refused(
        &sim.node,
        &[
            (numvfs(), "16\n", ENOENT),
            (of(PF, "qat/state"), "up\n", ENOENT),
        ],
    );
    kernel(&sim.node, &driver("4xxx", "bind"), PF).unwrap();
    kernel(&sim.node, &numvfs(), "1\n").unwrap();
    assert_eq!(attr(&sim.node, PF, "sriov_numvfs"), "16");
}

#[test]
fn kernels_differ_in_what_they_refuse() {
    let machine = |release| Machine::profile(Profile::Xeon4xxx).kernel(release);
    // VFs cannot be removed through the file before 6.12.
    for release in [KernelRelease::V6_1, KernelRelease::V6_7] {
        let sim = write(machine(release));
        refused(&sim.node, &[(of(PF, "sriov_numvfs"), "0\n", EINVAL)]);
    }
    // They need an IOMMU for a while.
    for (release, answer) in [
        (KernelRelease::V6_7, Ok(())),
        (KernelRelease::V6_12, Err(EINVAL)),
        (KernelRelease::V6_15, Err(EINVAL)),
        (KernelRelease::V6_17, Ok(())),
    ] {
        let sim = write(
            machine(release)
                .with(Change::NoIommu)
                .with(Change::NoVfs(at(PF))),
        );
        assert_eq!(kernel(&sim.node, &of(PF, "sriov_numvfs"), "16\n"), answer);
    }
    // Down twice.
    for (release, answer) in [
        (KernelRelease::V6_1, Err(EINVAL)),
        (KernelRelease::V6_7, Ok(())),
    ] {
        let sim = write(machine(release));
        let state = of(PF, "qat/state");
        kernel(&sim.node, &state, "down").unwrap();
        assert_eq!(kernel(&sim.node, &state, "down"), answer);
    }
    // The order that was written, or the kernel's own.
    for (release, read) in [
        (KernelRelease::V6_12, "dc;sym"),
        (KernelRelease::V6_15, "sym;dc"),
    ] {
        let sim = write(machine(release));
        kernel(&sim.node, &of(PF, "qat/state"), "down\n").unwrap();
        kernel(&sim.node, &of(PF, "qat/cfg_services"), "dc;sym\n").unwrap();
        assert_eq!(attr(&sim.node, PF, "qat/cfg_services"), read);
    }
}

#[test]
fn services_are_refused_unless_the_device_is_down() {
    let sim = write_profile(Profile::Xeon4xxx);
    let services = || of(PF, "qat/cfg_services");
    refused(
        &sim.node,
        &[
            (services(), "dc\n", EINVAL),
            (of(PF, "qat/pm_idle_enabled"), "0\n", EINVAL),
            (of(PF, "qat/state"), "sideways\n", EINVAL),
            (of(PF, "qat/auto_reset"), "perhaps\n", EINVAL),
            (of(PF, "qat_ras/reset_error_counters"), "1", EINVAL),
        ],
    );
    kernel(&sim.node, &of(PF, "qat_ras/reset_error_counters"), "1\n").unwrap();
    kernel(&sim.node, &of(PF, "qat/auto_reset"), "on\n").unwrap();
    kernel(&sim.node, &of(PF, "qat/state"), "down").unwrap();
    assert_eq!(sim.node.vfs_of(at(PF)), []);
    assert!(!sim.node.device(at(PF)).join("qat_ras").exists());
    refused(
        &sim.node,
        &[
            (services(), "sym;asym;dc\n", EINVAL),
            (services(), "rsa\n", EINVAL),
            (services(), " dc\n", EINVAL),
            (of(PF, "qat_ras/reset_error_counters"), "1\n", ENOENT),
        ],
    );
    kernel(&sim.node, &services(), "dc").unwrap();
    kernel(&sim.node, &of(PF, "qat/pm_idle_enabled"), "0").unwrap();
    kernel(&sim.node, &of(PF, "qat/state"), "up").unwrap();
    assert_eq!(attr(&sim.node, PF, "qat/cfg_services"), "dc");
    assert_eq!(attr(&sim.node, PF, "qat/auto_reset"), "on");
    assert_eq!(attr(&sim.node, PF, "qat_ras/errors_fatal"), "0");
    assert_eq!(attr(&sim.node, PF, "sriov_numvfs"), "0");
    assert!(
        sim.node
            .debugfs()
            .join("qat_4xxx_0000:6b:00.0/heartbeat/status")
            .exists()
    );

    // All of that is lost with the driver.
    kernel(&sim.node, &driver("4xxx", "unbind"), PF).unwrap();
    kernel(&sim.node, &driver("4xxx", "bind"), PF).unwrap();
    assert_eq!(attr(&sim.node, PF, "qat/cfg_services"), "sym;asym");
    assert_eq!(attr(&sim.node, PF, "qat/auto_reset"), "off");
    // The second device starts with the other services.
    let second = "0000:70:00.0";
    kernel(&sim.node, &driver("4xxx", "unbind"), second).unwrap();
    kernel(&sim.node, &driver("4xxx", "bind"), second).unwrap();
    assert_eq!(attr(&sim.node, second, "qat/cfg_services"), "dc");
}

#[test]
fn vfs_go_to_the_driver_that_knows_them_unless_autoprobe_is_off() {
    let (pf, vf) = ("0000:3d:00.0", "0000:3d:01.0");
    let machine = Machine::profile(Profile::C62x).with(Change::NoVfs(at(pf)));
    let sim = write(machine);
    let node = &sim.node;
    kernel(node, &of(pf, "sriov_numvfs"), "16\n").unwrap();
    assert_eq!(node.driver_of(at(vf)).as_deref(), Some("c6xxvf"));
    kernel(node, &of(pf, "sriov_numvfs"), "0\n").unwrap();
    kernel(node, &of(pf, "sriov_drivers_autoprobe"), "0\n").unwrap();
    assert_eq!(attr(node, pf, "sriov_drivers_autoprobe"), "0");
    kernel(node, &of(pf, "sriov_numvfs"), "16\n").unwrap();
    assert_eq!(node.driver_of(at(vf)), None);
    // It is in force for later binds as well, but not for those with an override.
    refused(node, &[(driver("c6xxvf", "bind"), vf, ENODEV)]);
    kernel(node, &of(vf, "driver_override"), "vfio-pci").unwrap();
    kernel(node, &driver("vfio-pci", "bind"), vf).unwrap();
    // 4xxx VFs have no driver in Linux, but may have one from elsewhere.
    for (machine, driver) in [
        (Machine::profile(Profile::Xeon4xxx), None),
        (
            Machine::profile(Profile::Xeon4xxx).known_by("4xxxvf", "8086:4941".parse().unwrap()),
            Some("4xxxvf"),
        ),
    ] {
        let sim = write(machine.with(Change::NoVfs(at(PF))));
        kernel(&sim.node, &of(PF, "sriov_numvfs"), "16\n").unwrap();
        assert_eq!(sim.node.driver_of(at(VF)).as_deref(), driver);
    }
}

#[test]
fn other_hardware_makes_as_many_vfs_as_asked() {
    let disk = FunctionSpec::new(at("0000:5e:00.0"), "144d:a824".parse().unwrap()).driver("nvme");
    let pf = PfSpec::new(disk, "144d:a825".parse().unwrap(), 8);
    let machine = Machine::new()
        .pf(pf)
        .with(Change::NoVfs(at("0000:5e:00.0")));
    let sim = write(machine);
    let numvfs = of("0000:5e:00.0", "sriov_numvfs");
    kernel(&sim.node, &numvfs, "3\n").unwrap();
    assert_eq!(sim.node.vfs().len(), 3);
    assert_eq!(attr(&sim.node, "0000:5e:00.0", "sriov_numvfs"), "3");
    refused(
        &sim.node,
        &[
            (numvfs.clone(), "8\n", EBUSY),
            (numvfs.clone(), "9\n", ERANGE),
        ],
    );
    kernel(&sim.node, &numvfs, "0\n").unwrap();
    assert_eq!(sim.node.vfs(), []);
}

#[test]
fn a_pf_on_vfio_makes_vfs_that_are_on_vfio() {
    let machine = Machine::profile(Profile::Xeon4xxx).with(Change::PfOnVfio(at(PF)));
    let sim = write(machine);
    kernel(&sim.node, &of(PF, "sriov_numvfs"), "0\n").unwrap();
    kernel(&sim.node, &of(PF, "sriov_numvfs"), "2\n").unwrap();
    assert_eq!(sim.node.vfs_of(at(PF)).len(), 2);
    assert_eq!(attr(&sim.node, VF, "driver_override"), "vfio-pci");
    assert_eq!(sim.node.driver_of(at(VF)).as_deref(), Some("vfio-pci"));
    // Without `enable_sriov` it could not.
    let bare = Machine::profile(Profile::Xeon4xxx).with(Change::NoVfs(at(PF)));
    let sim = write(bare.with(Change::Driver {
        address: at(PF),
        driver: Some("vfio-pci"),
    }));
    refused(&sim.node, &[(of(PF, "sriov_numvfs"), "2\n", ENOENT)]);
}

#[test]
fn a_write_fails_as_asked_and_once() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    let unbind = || driver("vfio-pci", "unbind");
    node.fail_next_write(unbind(), EIO).unwrap();
    node.fail_next_write(of(VF, "driver/unbind"), EBUSY)
        .unwrap();
    refused(node, &[(unbind(), VF, EIO), (unbind(), VF, EBUSY)]);
    kernel(node, &unbind(), VF).unwrap();
    let refused = WriteOutcome::Refused;
    assert_eq!(
        outcomes(node),
        [
            ("unbind".to_owned(), refused(EIO)),
            ("unbind".to_owned(), refused(EBUSY)),
            ("unbind".to_owned(), WriteOutcome::Taken),
        ]
    );
    node.forget_writes();
    assert_eq!(node.writes(), []);
}

#[test]
fn a_file_that_does_nothing_here_says_so() {
    let sim = write_profile(Profile::Xeon4xxx);
    let error = sim
        .node
        .write_as_kernel(of(VF, "numa_node"), b"0\n")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(sim.node.fail_next_write(of(VF, "numa_node"), EIO).is_err());
    let outside = sim.node.write_as_kernel("../dev/vfio/vfio", b"x");
    assert_eq!(outside.unwrap_err().kind(), ErrorKind::CrossesDevices);
}
