//! Commands to the kernel, on files that stand for attributes.

use std::fs::{create_dir_all, read_to_string, rename, write};
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;

use proptest::prelude::*;
use sysfs_pci::blocking::MayBlock;
use sysfs_pci::{AttributeName, PciAddress, SysfsRoot, Write, WriteError};
use tempfile::TempDir;

const VF: &str = "devices/pci0000:6b/0000:6b:00.1";

fn vf() -> PciAddress {
    "0000:6b:00.1".parse().unwrap()
}

fn tree() -> (TempDir, SysfsRoot) {
    let dir = tempfile::tempdir().unwrap();
    let at = |relative: &str| dir.path().join(relative);
    create_dir_all(at("bus/pci/devices")).unwrap();
    create_dir_all(at("bus/pci/drivers/vfio-pci")).unwrap();
    create_dir_all(at(VF).join("power")).unwrap();
    symlink(
        "../../../devices/pci0000:6b/0000:6b:00.1",
        at("bus/pci/devices/0000:6b:00.1"),
    )
    .unwrap();
    for file in [
        "bus/pci/drivers/vfio-pci/bind",
        "bus/pci/drivers/vfio-pci/unbind",
        "bus/pci/drivers_probe",
    ] {
        write(at(file), "").unwrap();
    }
    for file in [
        "driver_override",
        "sriov_numvfs",
        "sriov_drivers_autoprobe",
        "power/control",
    ] {
        write(at(VF).join(file), "").unwrap();
    }
    let root = SysfsRoot::new(dir.path());
    (dir, root)
}

fn every() -> Vec<(Write, &'static str, &'static str)> {
    let address = vf();
    let driver = || "vfio-pci".parse().unwrap();
    vec![
        (
            Write::DriverOverride {
                address,
                driver: Some(driver()),
            },
            "bus/pci/devices/0000:6b:00.1/driver_override",
            "vfio-pci\n",
        ),
        (
            Write::DriverOverride {
                address,
                driver: None,
            },
            "bus/pci/devices/0000:6b:00.1/driver_override",
            "\n",
        ),
        (
            Write::Bind {
                address,
                driver: driver(),
            },
            "bus/pci/drivers/vfio-pci/bind",
            "0000:6b:00.1\n",
        ),
        (
            Write::Unbind {
                address,
                driver: driver(),
            },
            "bus/pci/drivers/vfio-pci/unbind",
            "0000:6b:00.1\n",
        ),
        (
            Write::Probe { address },
            "bus/pci/drivers_probe",
            "0000:6b:00.1\n",
        ),
        (
            Write::NumVfs { address, count: 16 },
            "bus/pci/devices/0000:6b:00.1/sriov_numvfs",
            "16\n",
        ),
        (
            Write::DriversAutoprobe { address, on: false },
            "bus/pci/devices/0000:6b:00.1/sriov_drivers_autoprobe",
            "0\n",
        ),
        (
            Write::Attribute {
                address,
                name: "power/control".parse().unwrap(),
                value: "auto".to_owned(),
            },
            "bus/pci/devices/0000:6b:00.1/power/control",
            "auto\n",
        ),
    ]
}

#[test]
fn each_command_is_one_line_in_one_attribute() {
    let (dir, root) = tree();
    for (command, path, line) in every() {
        // Sysfs has no length that would cut what was there; a file has.
        write(dir.path().join(path), "").unwrap();
        command.perform(&MayBlock::acknowledged(), &root).unwrap();
        assert_eq!(
            read_to_string(dir.path().join(path)).unwrap(),
            line,
            "{command}"
        );
        assert_eq!(
            command.to_string(),
            format!("echo '{}' > {path}", line.trim_end())
        );
    }
}

#[test]
fn a_command_survives_the_way_to_another_process() {
    for (command, ..) in every() {
        let text = serde_json::to_string(&command).unwrap();
        assert_eq!(
            serde_json::from_str::<Write>(&text).unwrap(),
            command,
            "{text}"
        );
    }
}

#[test]
fn an_attribute_that_is_missing_is_not_made() {
    let (dir, root) = tree();
    let absent = "0000:6b:00.2".parse().unwrap();
    let command = Write::DriverOverride {
        address: absent,
        driver: None,
    };
    let error = command
        .perform(&MayBlock::acknowledged(), &root)
        .unwrap_err();
    assert!(error.is_gone() && !error.is_forbidden(), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot write `` to `{}`: No such file or directory (os error 2)",
            dir.path()
                .join("bus/pci/devices/0000:6b:00.2/driver_override")
                .display()
        )
    );
    assert!(!dir.path().join("bus/pci/devices/0000:6b:00.2").exists());
}

#[test]
fn nothing_is_written_outside_of_the_root() {
    let (dir, root) = tree();
    let elsewhere = tempfile::tempdir().unwrap();
    let victim = elsewhere.path().join("driver_override");
    write(&victim, "untouched").unwrap();
    let link = dir.path().join("bus/pci/devices/0000:6b:00.3");
    symlink(elsewhere.path(), link).unwrap();
    let command = Write::DriverOverride {
        address: "0000:6b:00.3".parse().unwrap(),
        driver: Some("vfio-pci".parse().unwrap()),
    };
    let error = command
        .perform(&MayBlock::acknowledged(), &root)
        .unwrap_err();
    assert!(matches!(error, WriteError::Outside { .. }), "{error:?}");
    assert_eq!(read_to_string(victim).unwrap(), "untouched");
}

#[test]
fn renames_elsewhere_on_the_machine_do_not_disturb() {
    let (_dir, root) = tree();
    let elsewhere = tempfile::tempdir().unwrap();
    let (one, other) = (elsewhere.path().join("one"), elsewhere.path().join("other"));
    write(&one, "").unwrap();
    let done = AtomicBool::new(false);
    scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                rename(&one, &other).unwrap();
                rename(&other, &one).unwrap();
            }
        });
        let command = Write::DriverOverride {
            address: vf(),
            driver: None,
        };
        let results: Vec<_> = (0..30_000)
            .map(|_| command.perform(&MayBlock::acknowledged(), &root))
            .collect();
        done.store(true, Ordering::Relaxed);
        assert_eq!(results.iter().find(|result| result.is_err()), None);
    });
}

#[test]
fn a_refusal_in_another_process_reads_the_same() {
    let (_dir, root) = tree();
    let command = Write::Probe { address: vf() };
    let busy = command.refused(&root, 16);
    assert_eq!(busy.errno(), 16);
    assert!(
        busy.to_string()
            .ends_with("bus/pci/drivers_probe`: Device or resource busy (os error 16)")
    );
    assert!(command.refused(&root, 30).is_forbidden());
    assert!(matches!(
        command.refused(&root, 18),
        WriteError::Outside { .. }
    ));
}

#[test]
fn names_of_attributes_stay_in_the_directory() {
    for good in ["state", "qos/level", "sriov_numvfs"] {
        assert_eq!(good.parse::<AttributeName>().unwrap().to_string(), good);
    }
    for bad in [
        "",
        "/",
        "../remove",
        "a/../b",
        "a/b/c",
        "/etc",
        "a b",
        "a//b",
        "a/",
        "é",
    ] {
        assert!(bad.parse::<AttributeName>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_attribute_name_has_a_way_up(text in ".{0,20}") {
        if let Ok(name) = text.parse::<AttributeName>() {
            let name = name.to_string();
            prop_assert!(!name.contains("..") && !name.starts_with('/'), "{}", name);
        }
    }
}

#[test]
fn virtual_functions_are_counted_by_their_links() {
    let (dir, root) = tree();
    for (link, target) in [
        ("virtfn10", "../0000:6b:01.3"),
        ("virtfn2", "../0000:6b:00.3"),
        ("virtfnx", "../0000:6b:00.4"),
    ] {
        symlink(target, dir.path().join(VF).join(link)).unwrap();
    }
    let vfs = sysfs_pci::vf_links(&root, vf()).unwrap();
    let found: Vec<_> = vfs
        .into_iter()
        .map(|(index, vf)| format!("{index}={vf}"))
        .collect();
    assert_eq!(found, ["2=0000:6b:00.3", "10=0000:6b:01.3"]);
}
