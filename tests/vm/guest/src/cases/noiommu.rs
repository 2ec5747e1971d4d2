//! A machine whose IOMMU is switched off.

use std::fs;
use std::process::Command;

use rustix::io::Errno;
use sysfs_pci::Write;
use sysfs_pci::blocking::MayBlock;
use vfio_host::bind::{BindError, BindPlan, BindRefusal, Claim, Failure, HostFacts, Undo};

use super::{GEN4, cases};
use crate::bench::{Bench, vfio_pci};
use crate::guest::Guest;

cases![
    binding_is_refused_with_the_parameter,
    the_kernel_would_have_refused_too,
    the_inspector_says_what_is_missing,
];

fn binding_is_refused_with_the_parameter(guest: &Guest) {
    let vf = guest.make_vfs(GEN4)[0];
    assert_eq!(sysfs_pci::iommu_group(&guest.host.sysfs, vf), Ok(None));
    assert!(!vfio_host::iommu_present(&guest.host.sysfs));
    let refusal = Bench::new().plan(vf).unwrap_err();
    assert!(matches!(refusal, BindRefusal::NoIommu), "{refusal}");
    assert!(refusal.to_string().contains("intel_iommu=on"), "{refusal}");
}

/// By a plan for a host on which VFIO were told to do without.
fn the_kernel_would_have_refused_too(guest: &Guest) {
    let vf = guest.make_vfs(GEN4)[0];
    let bench = Bench::new();
    let facts = bench.facts();
    assert!(!facts.no_iommu_mode);
    let facts = HostFacts {
        no_iommu_mode: true,
        ..facts
    };
    let lock = bench.lock(GEN4);
    let mut worker = bench.worker(&lock);
    let plan = BindPlan::new(&bench.look(vf), facts, &bench.rules, &Claim::None).unwrap();
    let error = bench.binder().bind(&mut worker, &plan).unwrap_err();
    let BindError {
        failure: Failure::Refused { source, .. },
        undo: Undo::Done,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(source.errno(), Some(Errno::INVAL.raw_os_error()));
    assert_eq!(guest.read(vf, "driver_override"), "(null)");

    // Whoever goes by the answer to `drivers_probe` is told that all is well.
    let sysfs = &guest.host.sysfs;
    for write in [
        Write::DriverOverride {
            address: vf,
            driver: Some(vfio_pci()),
        },
        Write::Probe { address: vf },
        Write::DriverOverride {
            address: vf,
            driver: None,
        },
    ] {
        write.perform(&MayBlock::acknowledged(), sysfs).unwrap();
    }
    assert_eq!(sysfs_pci::driver(sysfs, vf), Ok(None));
    assert_eq!(fs::read_dir("/sys/kernel/iommu_groups").unwrap().count(), 0);
}

fn the_inspector_says_what_is_missing(guest: &Guest) {
    guest.make_vfs(GEN4);
    let args = ["check", "--no-kubelet", "--for=qatlib"];
    let check = Command::new("/bin/qat-inspect")
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&check.stdout);
    assert_eq!(check.status.code(), Some(1), "{text}");
    assert!(text.contains("QAT001 no-iommu (2 VFs, "), "{text}");
}
