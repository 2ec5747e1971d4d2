//! VFs that a process has open, and those who will not wait for it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use qat_node::{Looker, Roots};
use qat_policy::Rules;
use sysfs_pci::PciAddress;
use vfio_host::bind::{BindRefusal, Outcome};
use vfio_host::worker::{Hands as _, HandsError, Patience};
use vfio_host::{Refusal, StateError};

use super::{GEN4, cases};
use crate::bench::Bench;
use crate::guest::{Guest, note, wait_until, within};
use crate::holder::{Holder, PATIENCE, ends_within, start_force};

cases![
    an_open_vf_is_not_given_back,
    a_process_that_is_stuck_leaves_its_worker_behind,
    a_stuck_unbind_delays_nobody_else,
    a_removal_that_is_stuck_does_not_delay_our_reads,
];

/// Each look must be over by then, although something is stuck. On an idle machine it takes a tenth.
const QUICK: Duration = Duration::from_secs(5);

/// Binds the first VFs of the PF, and lists all.
fn bound(guest: &Guest, bench: &Bench, count: usize) -> Vec<PciAddress> {
    let vfs = guest.make_vfs(GEN4);
    let lock = bench.lock(GEN4);
    let mut worker = bench.worker(&lock);
    for vf in &vfs[..count] {
        bench.bind(&mut worker, *vf);
    }
    vfs
}

/// Waits until the worker that was left behind has ended, and with it its lock.
fn wait_for_lock(bench: &Bench) {
    wait_until("the lock is free again", || {
        bench.state.lock(GEN4, "a case").is_ok()
    });
}

fn an_open_vf_is_not_given_back(guest: &Guest) {
    let bench = Bench::new();
    let vf = bound(guest, &bench, 1)[0];
    let holder = Holder::of(vf);
    let refusal = bench.release_plan(vf).unwrap_err();
    assert!(matches!(refusal, BindRefusal::Open), "{refusal}");
    {
        let lock = bench.lock(GEN4);
        let mut worker = bench.worker(&lock);
        assert_eq!(bench.bind(&mut worker, vf), Outcome::Unchanged);
    }
    assert!(bench.open(vf).is_err(), "a group has one owner");
    holder.let_go();
    wait_until("nobody has it open", || bench.look(vf).enabled == 0);
    bench.release_plan(vf).unwrap();
    drop(bench.open(vf).unwrap());
}

fn a_process_that_is_stuck_leaves_its_worker_behind(guest: &Guest) {
    let bench = Bench::new();
    let vf = bound(guest, &bench, 1)[0];
    let holder = Holder::of(vf);
    let before = Instant::now();
    let mut process = start_force(GEN4, vf);
    ends_within(&mut process, PATIENCE + QUICK);
    note(&format!(
        "a process whose worker is stuck has ended after {} ms, of which {} are patience",
        before.elapsed().as_millis(),
        PATIENCE.as_millis()
    ));
    let locked = bench.state.lock(GEN4, "a case");
    assert!(
        matches!(locked, Err(StateError::Locked { .. })),
        "{locked:?}"
    );
    let refusal = bench.plan(vf).unwrap_err();
    assert!(matches!(refusal, BindRefusal::Unbinding), "{refusal}");
    holder.let_go();
    wait_for_lock(&bench);
    bound(guest, &bench, 1);
    guest.host.recheck(vf, None).unwrap();
}

fn a_stuck_unbind_delays_nobody_else(guest: &Guest) {
    let bench = Bench::new();
    let vfs = bound(guest, &bench, 16);
    let (vf, others) = vfs.split_first().unwrap();
    let holder = Holder::of(*vf);
    let mut process = start_force(GEN4, *vf);
    wait_until("the unbind has begun", || bench.look(*vf).driver.is_none());
    ends_within(&mut process, PATIENCE + QUICK);

    let (host, stuck, rest) = (guest.host.clone(), *vf, others.to_vec());
    let rechecks = within("rechecks", QUICK, move || {
        let refusal = host.recheck(stuck, None);
        assert!(
            matches!(refusal, Err(Refusal::NoDriver { .. })),
            "{refusal:?}"
        );
        for other in rest {
            host.recheck(other, None).unwrap();
        }
    });
    note(&format!(
        "while one is stuck: 16 rechecks in {} ms, a look in {} ms",
        rechecks.as_millis(),
        look_within(&vfs).as_millis()
    ));
    holder.let_go();
    wait_for_lock(&bench);
    bound(guest, &bench, 1);
}

/// Somebody removes all VFs, and one of them is open.
fn a_removal_that_is_stuck_does_not_delay_our_reads(guest: &Guest) {
    let bench = Bench::with_patience(Patience {
        device: PATIENCE,
        function: PATIENCE,
    });
    let vfs = bound(guest, &bench, 1);
    let holder = Holder::of(vfs[0]);
    let script = format!(
        "echo 0 > {}",
        guest.attribute(GEN4, "sriov_numvfs").display()
    );
    let mut writer = Command::new("/bin/busybox")
        .args(["sh", "-c", &script])
        .spawn()
        .unwrap();

    let sysfs = guest.host.sysfs.clone();
    let count = move || {
        within("links", QUICK, {
            let sysfs = sysfs.clone();
            move || assert!(sysfs_pci::vf_links(&sysfs, GEN4).unwrap().len() >= 15)
        })
    };
    wait_until("the first VF is leaving", || {
        !guest.attribute(GEN4, "virtfn0").exists()
    });
    count();
    look_within(&vfs[1..]);
    {
        let lock = bench.lock(GEN4);
        let mut worker = bench.worker(&lock);
        let error = worker.num_vfs(GEN4).unwrap_err();
        assert!(matches!(error, HandsError::Stuck { .. }), "{error}");
        worker.abandon().expect("it is stuck");
    }
    assert!(
        writer.try_wait().unwrap().is_none(),
        "it waits for the holder"
    );
    holder.let_go();
    ends_within(&mut writer, 2 * QUICK);
    wait_for_lock(&bench);
    assert_eq!(guest.vfs(GEN4), []);
    let vf = bound(guest, &Bench::new(), 1)[0];
    guest.host.recheck(vf, None).unwrap();
}

/// Looks at the machine as the daemon does, and wants these VFs to be seen.
fn look_within(vfs: &[PciAddress]) -> Duration {
    let vfs = vfs.to_vec();
    within("a look", QUICK, move || {
        let mut looker = Looker::new(&Roots::default(), Rules::default());
        let look = looker.look(&BTreeSet::new()).unwrap();
        assert_eq!(look.failures, []);
        for vf in vfs {
            assert!(look.inventory.vfs.contains_key(&vf), "{vf} is not seen");
        }
    })
}
