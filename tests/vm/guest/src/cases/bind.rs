//! Binding to `vfio-pci` and giving back, by a worker process, as the daemon does it.

use std::io::Result as IoResult;
use std::process::Command;
use std::time::Instant;

use qat_node::binding::Gang;
use rustix::io::Errno;
use sysfs_pci::{DriverName, PciAddress, Write, fs};
use vfio_host::bind::{BINDS, BindError, BindRefusal, Claim, Failure, Outcome, Undo};
use vfio_host::worker::{Hands, HandsError, Worker};
use vfio_host::{GroupFile, Refusal};

use super::{GEN2, GEN4, MANY, cases};
use crate::bench::Bench;
use crate::guest::{Guest, insmod, note, rmmod};

cases![
    a_free_vf_is_bound_and_can_be_opened,
    a_second_bind_writes_nothing,
    what_was_found_is_restored,
    a_vf_on_the_denylist_is_refused_with_the_parameter,
    what_the_kernel_refuses_is_undone,
    a_vf_is_taken_from_its_kernel_driver_and_given_back,
    many_vfs_are_bound_at_once,
];

/// A worker, with a count of what it was asked for.
struct Counting {
    worker: Worker,
    writes: u32,
    reads: u32,
}

impl Hands for Counting {
    fn write(&mut self, command: &Write) -> Result<(), HandsError> {
        self.writes += 1;
        self.worker.write(command)
    }

    fn driver_override(&mut self, address: PciAddress) -> Result<Option<DriverName>, HandsError> {
        self.reads += 1;
        self.worker.driver_override(address)
    }

    fn num_vfs(&mut self, address: PciAddress) -> Result<u16, HandsError> {
        self.reads += 1;
        self.worker.num_vfs(address)
    }
}

/// Plans and binds, and tells the outcome, the writes and the file system calls of this process.
fn counted(bench: &Bench, vf: PciAddress, hands: &mut Counting) -> (Outcome, u32, u64) {
    let (calls, writes) = (fs::calls(), hands.writes);
    let plan = bench.plan(vf).unwrap();
    let outcome = bench.binder().bind(hands, &plan).unwrap();
    (outcome, hands.writes - writes, fs::calls() - calls)
}

fn driver_of(guest: &Guest, vf: PciAddress) -> Option<String> {
    let driver = sysfs_pci::driver(&guest.host.sysfs, vf).unwrap();
    driver.map(|driver| driver.to_string())
}

fn a_free_vf_is_bound_and_can_be_opened(guest: &Guest) {
    let vf = guest.make_vfs(GEN4)[0];
    let bench = Bench::new();
    let lock = bench.lock(GEN4);
    let worker = bench.worker(&lock);
    let mut hands = Counting {
        worker,
        writes: 0,
        reads: 0,
    };
    assert_eq!(driver_of(guest, vf), None);
    let (outcome, writes, calls) = counted(&bench, vf, &mut hands);
    assert_eq!((outcome, writes), (Outcome::Changed, 2));
    note(&format!(
        "to bind a free VF: {writes} writes and {} reads by the worker, {calls} file system calls by us",
        hands.reads
    ));
    assert_eq!(driver_of(guest, vf).as_deref(), Some("vfio-pci"));

    let usable = guest.host.recheck(vf, None).unwrap();
    let group = GroupFile::open(&usable.node.host_path).unwrap();
    let status = group.status().unwrap();
    assert!(status.viable && !status.container_set, "{status:?}");
    drop(group);
    let held = bench.open(vf).unwrap();
    let refusal = guest.host.recheck(vf, None);
    assert!(matches!(refusal, Err(Refusal::InUse { .. })), "{refusal:?}");
    drop(held);
    assert_eq!(guest.host.recheck(vf, None), Ok(usable));
}

fn a_second_bind_writes_nothing(guest: &Guest) {
    let vf = guest.make_vfs(GEN4)[0];
    let bench = Bench::new();
    let lock = bench.lock(GEN4);
    let mut worker = bench.worker(&lock);
    bench.bind(&mut worker, vf);
    let mut hands = Counting {
        worker,
        writes: 0,
        reads: 0,
    };
    let (outcome, writes, _) = counted(&bench, vf, &mut hands);
    assert_eq!((outcome, writes), (Outcome::Unchanged, 0));
}

fn what_was_found_is_restored(guest: &Guest) {
    let vf = guest.make_vfs(GEN4)[0];
    let bench = Bench::new();
    let lock = bench.lock(GEN4);
    let mut worker = bench.worker(&lock);
    bench.bind(&mut worker, vf);
    assert_eq!(guest.read(vf, "driver_override"), "vfio-pci");
    assert_eq!(bench.release(&mut worker, vf).unwrap(), Outcome::Changed);
    assert_eq!(driver_of(guest, vf), None);
    assert_eq!(guest.read(vf, "driver_override"), "(null)");
    assert_eq!(bench.state.addresses(BINDS).unwrap(), []);
    let refusal = guest.host.recheck(vf, None);
    assert!(
        matches!(refusal, Err(Refusal::NoDriver { .. })),
        "{refusal:?}"
    );
}

fn a_vf_on_the_denylist_is_refused_with_the_parameter(guest: &Guest) {
    let vf = guest.make_vfs(GEN2)[0];
    let refusal = Bench::new().plan(vf).unwrap_err();
    assert!(
        matches!(refusal, BindRefusal::Denylisted { .. }),
        "{refusal}"
    );
    assert!(
        refusal.to_string().contains("disable_denylist=1"),
        "{refusal}"
    );
}

/// Without our own knowledge of the denylist the kernel's refusal comes late: the VF has lost its driver.
fn what_the_kernel_refuses_is_undone(guest: &Guest) {
    let vf = guest.make_vfs(GEN2)[0];
    let mut bench = Bench::new();
    bench.rules.denylisted.clear();
    assert_eq!(driver_of(guest, vf).as_deref(), Some("c6xxvf"));
    let lock = bench.lock(GEN2);
    let mut worker = bench.worker(&lock);
    let plan = bench.plan(vf).unwrap();
    let error = bench.binder().bind(&mut worker, &plan).unwrap_err();
    let BindError {
        failure: Failure::Refused {
            source, meaning, ..
        },
        undo: Undo::Done,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(source.errno(), Some(Errno::INVAL.raw_os_error()));
    assert!(meaning.contains("denylist"), "{meaning}");
    assert_eq!(driver_of(guest, vf).as_deref(), Some("c6xxvf"));
    assert_eq!(guest.read(vf, "driver_override"), "(null)");
}

fn a_vf_is_taken_from_its_kernel_driver_and_given_back(guest: &Guest) {
    let vf = guest.make_vfs(GEN2)[0];
    rmmod("vfio_pci");
    insmod("vfio_pci", "disable_denylist=1");
    let bench = Bench::new();
    assert_eq!(bench.facts().denylist_disabled, Some(true));
    {
        let lock = bench.lock(GEN2);
        let worker = bench.worker(&lock);
        let mut hands = Counting {
            worker,
            writes: 0,
            reads: 0,
        };
        let (outcome, writes, calls) = counted(&bench, vf, &mut hands);
        assert_eq!((outcome, writes), (Outcome::Changed, 3));
        note(&format!(
            "to bind a VF that has a driver: {writes} writes, {calls} file system calls by us"
        ));
        guest.host.recheck(vf, None).unwrap();
        drop(bench.open(vf).unwrap());
        bench.release(&mut hands.worker, vf).unwrap();
    }
    assert_eq!(driver_of(guest, vf).as_deref(), Some("c6xxvf"));
    rmmod("vfio_pci");
    insmod("vfio_pci", "");
}

fn many_vfs_are_bound_at_once(guest: &Guest) {
    let before = Instant::now();
    let vfs = guest.make_vfs(MANY);
    let made = before.elapsed();
    assert_eq!(vfs.len(), 64);
    let bench = Bench::new();
    let lock = bench.lock(MANY);
    let gang = Gang {
        tools: &bench.tools,
        rules: &bench.rules,
        state: &bench.state,
        lock: &lock,
    };
    let before = Instant::now();
    let work = gang.bind(
        vfs.iter().map(|vf| (*vf, Claim::None)).collect(),
        &|_, _| {},
    );
    let ours = before.elapsed();
    assert!(work.abandoned.is_empty());
    assert_eq!(work.results.len(), 64);
    for (vf, result) in work.results {
        assert_eq!(result.unwrap(), Outcome::Changed, "{vf}");
        guest.host.recheck(vf, None).unwrap();
    }
    let mut worker = bench.worker(&lock);
    let before = Instant::now();
    for vf in &vfs {
        bench.release(&mut worker, *vf).unwrap();
    }
    let back = before.elapsed();
    let before = Instant::now();
    shell(SHELL_BIND).unwrap();
    let shell_time = before.elapsed();
    for vf in vfs {
        assert_eq!(driver_of(guest, vf).as_deref(), Some("vfio-pci"), "{vf}");
    }
    let before = Instant::now();
    shell(SHELL_UNBIND).unwrap();
    let shell_back = before.elapsed();
    note(&format!(
        "64 VFs: made in {} ms, bound, recorded and verified in {} ms, given back in {} ms; a shell's loop binds them in {} ms, and unbinds \
         them in {} ms",
        made.as_millis(),
        ours.as_millis(),
        back.as_millis(),
        shell_time.as_millis(),
        shell_back.as_millis()
    ));
}

/// What people do.
const SHELL_BIND: &str = "
for link in /sys/bus/pci/devices/0000:90:00.0/virtfn*; do
    vf=$(readlink $link)
    echo vfio-pci > $link/driver_override
    echo ${vf##*/} > /sys/bus/pci/drivers/vfio-pci/bind
done";

const SHELL_UNBIND: &str = "
for link in /sys/bus/pci/devices/0000:90:00.0/virtfn*; do
    vf=$(readlink $link)
    echo ${vf##*/} > /sys/bus/pci/drivers/vfio-pci/unbind
    echo > $link/driver_override
done";

fn shell(script: &str) -> IoResult<()> {
    let status = Command::new("/bin/busybox")
        .args(["sh", "-e", "-c", script])
        .status()?;
    assert!(status.success(), "{status}");
    Ok(())
}
