//! Our reading of this machine's own sysfs, against that of the `sysfs-class` crate.

use std::collections::BTreeSet;
use std::fs::{read_dir, read_to_string};

use sysfs_class::{PciDevice, SysClass};
use sysfs_pci::{Depth, SysfsRoot, scan};

/// The other crate cuts two bytes off each value and panics where there are none.
fn fit_for_the_oracle(device: &PciDevice) -> bool {
    [
        "vendor",
        "device",
        "class",
        "subsystem_vendor",
        "subsystem_device",
    ]
    .iter()
    .all(|name| read_to_string(device.path().join(name)).is_ok_and(|text| text.len() > 2))
}

#[test]
fn agrees_with_sysfs_class_about_every_function() {
    let root = SysfsRoot::default();
    let any = read_dir(root.pci_devices()).is_ok_and(|mut entries| entries.next().is_some());
    if !any {
        println!(
            "skipped: {} is absent or empty",
            root.pci_devices().display()
        );
        return;
    }
    let snapshot = scan(&root, &|_| Depth::Function).unwrap();
    assert_eq!(snapshot.failures, []);

    let mut compared = BTreeSet::new();
    for theirs in PciDevice::all().unwrap() {
        let Ok(address) = theirs.id().parse() else {
            panic!("`{}` is no address", theirs.id())
        };
        if !fit_for_the_oracle(&theirs) {
            println!("skipped: {address} is gone or has empty attributes");
            continue;
        }
        let ours = &snapshot.functions[&address];
        assert_eq!(ours.id.vendor, theirs.vendor().unwrap(), "{address}");
        assert_eq!(ours.id.device, theirs.device().unwrap(), "{address}");
        assert_eq!(ours.subsystem.vendor, theirs.subsystem_vendor().unwrap());
        assert_eq!(ours.subsystem.device, theirs.subsystem_device().unwrap());
        assert_eq!(ours.class.get(), theirs.class().unwrap(), "{address}");
        let driver = theirs.driver().ok().map(|driver| driver.id().to_owned());
        let our_driver = ours.driver.as_ref().map(ToString::to_string);
        assert_eq!(our_driver, driver, "{address}");
        compared.insert(address);
    }
    println!("compared {} functions", compared.len());
}

#[test]
fn every_function_of_this_machine_can_be_seen_as_physical() {
    let root = SysfsRoot::default();
    let Ok(snapshot) = scan(&root, &|_| Depth::Physical) else {
        println!("skipped: {} is absent", root.pci_devices().display());
        return;
    };
    assert_eq!(snapshot.failures, []);
    println!("saw {} functions", snapshot.functions.len());
}
