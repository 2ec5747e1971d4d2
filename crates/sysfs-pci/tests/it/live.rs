//! Our reading of this machine's own sysfs, against that of the `sysfs-class` crate.
//!
//! It is somebody else's machine. Functions may come and go between two looks, and one may have
//! attributes that make no sense; the tests count what they leave out and say so.

use std::env;
use std::fs::{OpenOptions, read_dir, read_to_string};
use std::io::Write;

use sysfs_class::{PciDevice, SysClass};
use sysfs_pci::{Depth, Function, PciAddress, Snapshot, SysfsRoot, scan};

/// Says that a test cannot run here: to whoever reads its output, and in the file named by
/// `TEST_SKIPS`.
fn skip(test: &str, reason: &str) {
    println!("skipped: {reason}");
    if let Some(path) = env::var_os("TEST_SKIPS") {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        // One write, so that lines of several processes stay whole.
        file.write_all(format!("{test}: {reason}\n").as_bytes())
            .unwrap();
    }
}

/// A scan of this machine, or `None` and a word about it if the machine has no PCI functions.
fn look(test: &str, depth: Depth) -> Option<Snapshot> {
    let root = SysfsRoot::default();
    let any = read_dir(root.pci_devices()).is_ok_and(|mut entries| entries.next().is_some());
    if !any {
        let bus = root.pci_devices();
        skip(test, &format!("{} is absent or empty", bus.display()));
        return None;
    }
    let snapshot = scan(&root, &|_| depth).unwrap();
    for failure in &snapshot.failures {
        println!("left out: {failure}: {}", failure.error);
    }
    Some(snapshot)
}

/// What the other crate reads of a function: vendor, device, both of the subsystem, class, driver.
type Seen = (u16, u16, u16, u16, u32, Option<String>);

/// Asks the other crate; `None` if the function is gone or has empty attributes. The crate cuts two
/// bytes off each value and panics where there are none.
fn oracle(device: &PciDevice) -> Option<Seen> {
    let names = [
        "vendor",
        "device",
        "class",
        "subsystem_vendor",
        "subsystem_device",
    ];
    let fit = names
        .iter()
        .all(|name| read_to_string(device.path().join(name)).is_ok_and(|text| text.len() > 2));
    fit.then_some(())?;
    Some((
        device.vendor().ok()?,
        device.device().ok()?,
        device.subsystem_vendor().ok()?,
        device.subsystem_device().ok()?,
        device.class().ok()?,
        device.driver().ok().map(|driver| driver.id().to_owned()),
    ))
}

fn seen(ours: &Function) -> Seen {
    (
        ours.id.vendor,
        ours.id.device,
        ours.subsystem.vendor,
        ours.subsystem.device,
        ours.class.get(),
        ours.driver.as_ref().map(ToString::to_string),
    )
}

#[test]
fn agrees_with_sysfs_class_about_every_function() {
    let test = "sysfs-pci live::agrees_with_sysfs_class_about_every_function";
    let Some(snapshot) = look(test, Depth::Function) else {
        return;
    };
    let mut compared = 0;
    let mut left_out = snapshot.failures.len() + snapshot.vanished.len();
    for theirs in PciDevice::all().unwrap() {
        let address = theirs.id().parse::<PciAddress>().ok();
        let Some(ours) = address.and_then(|address| snapshot.functions.get(&address)) else {
            println!("left out: `{}` is not in our scan", theirs.id());
            left_out += 1;
            continue;
        };
        let Some(expected) = oracle(&theirs) else {
            println!(
                "left out: `{}` is gone or has empty attributes",
                theirs.id()
            );
            left_out += 1;
            continue;
        };
        assert_eq!(seen(ours), expected, "{}", ours.address);
        compared += 1;
    }
    println!("compared {compared} functions, left out {left_out}");
}

#[test]
fn every_function_of_this_machine_can_be_seen_as_physical() {
    let test = "sysfs-pci live::every_function_of_this_machine_can_be_seen_as_physical";
    let Some(snapshot) = look(test, Depth::Physical) else {
        return;
    };
    let seen = snapshot.functions.len();
    // Each entry is accounted for, whatever state this machine is in.
    assert!(seen + snapshot.failures.len() + snapshot.vanished.len() > 0);
    println!(
        "saw {seen} functions, left out {}",
        snapshot.failures.len() + snapshot.vanished.len()
    );
}
