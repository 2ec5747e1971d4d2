//! What happens to a machine while it runs, and that it can be taken back.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use node_sim::{Change, Machine, Profile, SimError};

use super::{
    assert_links_resolve, assert_same, assert_scan_agrees, at, attr, contents, scan, write,
    write_profile,
};

#[test]
fn unbind_and_bind_round_trip() {
    for profile in Profile::ALL {
        let sim = write_profile(profile);
        let node = &sim.node;
        let before = contents(sim.dir.path());
        let vf = *node.vfs().last().unwrap();
        let group = node.group_of(vf).unwrap();

        node.unbind(vf).unwrap();
        assert_eq!(node.driver_of(vf), None);
        assert!(!node.device(vf).join("driver").exists());
        assert!(!node.device(vf).join("vfio-dev").exists());
        assert!(!node.dev().join(format!("vfio/{group}")).exists());
        assert!(!node.sysfs().join(format!("class/vfio/{group}")).exists());
        assert!(!attr(node, &vf.to_string(), "uevent").contains("DRIVER="));
        assert_links_resolve(sim.dir.path());
        assert_scan_agrees(node);

        node.bind(vf, "vfio-pci").unwrap();
        assert_same(&before, sim.dir.path());
    }
}

#[test]
fn unplug_and_replug_round_trip() {
    for profile in Profile::ALL {
        let sim = write_profile(profile);
        let node = &sim.node;
        let before = contents(sim.dir.path());
        let all = [node.others(), node.pfs(), node.vfs()].concat();
        let some = all.iter().step_by(31).copied();
        for address in some.chain(node.pfs().first().copied()) {
            node.unplug(address).unwrap();
            assert!(!node.device(address).exists());
            assert_scan_agrees(node);
            node.replug(address).unwrap();
            assert_scan_agrees(node);
        }
        assert_same(&before, sim.dir.path());

        // Half way, with the last function gone, every link still leads somewhere.
        node.unplug(*all.last().unwrap()).unwrap();
        assert_links_resolve(sim.dir.path());
    }
}

#[test]
fn vfs_that_come_back_in_another_order_have_other_groups() {
    let sim = write_profile(Profile::Xeon4xxx);
    let [first, second] = [at("0000:6b:00.1"), at("0000:6b:00.2")];
    let groups = (sim.node.group_of(first), sim.node.group_of(second));
    sim.node.unplug(first).unwrap();
    sim.node.unplug(second).unwrap();
    sim.node.replug(second).unwrap();
    sim.node.replug(first).unwrap();
    assert_eq!(
        (sim.node.group_of(second), sim.node.group_of(first)),
        groups
    );
    assert_scan_agrees(&sim.node);
}

#[test]
fn a_shared_group_is_kept_over_a_replug() {
    let [a, b] = [at("0000:6b:00.1"), at("0000:6b:00.2")];
    let machine = Machine::profile(Profile::Xeon4xxx).with(Change::SharedGroup { a, b });
    let sim = write(machine);
    let before = contents(sim.dir.path());
    sim.node.unplug(b).unwrap();
    sim.node.replug(b).unwrap();
    assert_same(&before, sim.dir.path());
}

#[test]
fn sriov_off_and_on_gives_unbound_vfs() {
    let sim = write_profile(Profile::Xeon4xxx);
    let pf = at("0000:6b:00.0");
    assert!(matches!(
        sim.node.enable_sriov(pf),
        Err(SimError::HasVfs { .. })
    ));
    sim.node.disable_sriov(pf).unwrap();
    assert_eq!(attr(&sim.node, "0000:6b:00.0", "sriov_numvfs"), "0");
    assert_scan_agrees(&sim.node);
    sim.node.enable_sriov(pf).unwrap();
    assert_eq!(attr(&sim.node, "0000:6b:00.0", "sriov_numvfs"), "16");
    assert_eq!(attr(&sim.node, "0000:6b:00.1", "driver_override"), "(null)");
    assert_eq!(sim.node.vfs_of(pf).len(), 16);
    assert_scan_agrees(&sim.node);
    for vf in sim.node.vfs_of(pf) {
        sim.node.bind(vf, "vfio-pci").unwrap();
    }
    let fresh = write_profile(Profile::Xeon4xxx);
    assert_same(&contents(fresh.dir.path()), sim.dir.path());
}

#[test]
fn a_pf_that_is_unbound_loses_its_vfs_and_files() {
    let sim = write_profile(Profile::Xeon4xxx);
    let pf = at("0000:70:00.0");
    sim.node.unbind(pf).unwrap();
    assert_eq!(sim.node.vfs_of(pf), []);
    assert!(!sim.node.device(pf).join("qat").exists());
    assert!(!sim.node.debugfs().join("qat_4xxx_0000:70:00.0").exists());
    assert_scan_agrees(&sim.node);
    sim.node.bind(pf, "4xxx").unwrap();
    assert_eq!(attr(&sim.node, "0000:70:00.0", "qat/state"), "up");
    assert_eq!(sim.node.vfs_of(pf), []);
}

#[test]
fn values_change_and_change_back() {
    let sim = write_profile(Profile::Xeon4xxx);
    let (pf, vf) = (at("0000:6b:00.0"), at("0000:6b:00.1"));
    let before = contents(sim.dir.path());
    let numa = b"0\n";
    sim.node.set_services(pf, "dc").unwrap();
    sim.node.set_enable(vf, 1).unwrap();
    sim.node.write_attr(vf, "numa_node", b"junk").unwrap();
    assert_eq!(attr(&sim.node, "0000:6b:00.0", "qat/cfg_services"), "dc");
    assert_eq!(attr(&sim.node, "0000:6b:00.1", "enable"), "1");
    assert_eq!(attr(&sim.node, "0000:6b:00.1", "numa_node"), "junk");
    sim.node.set_services(pf, "sym;asym").unwrap();
    sim.node.set_enable(vf, 0).unwrap();
    sim.node.write_attr(vf, "numa_node", numa).unwrap();
    assert_same(&before, sim.dir.path());

    let group = sim.node.group_of(vf).unwrap();
    sim.node.remove_node(group).unwrap();
    sim.node.remove_node(group).unwrap();
    assert!(!sim.node.dev().join("vfio/320").exists());
    sim.node.add_node(group).unwrap();
    sim.node.add_node(group).unwrap();
    assert_same(&before, sim.dir.path());
}

#[test]
fn an_entry_that_comes_back_is_another_inode() {
    // Also on a file system that gives numbers away again, as that of most disks does.
    let disk = tempfile::tempdir().unwrap();
    let memory = node_sim::scratch().unwrap();
    for dir in [disk.path(), memory.path()] {
        let node = Machine::profile(Profile::Xeon4xxx).write(dir).unwrap();
        let (pf, vf) = (at("0000:6b:00.0"), at("0000:6b:00.1"));
        let inode = |address| node.device(address).symlink_metadata().unwrap().ino();
        let before = contents(dir);
        let mut seen = BTreeSet::from([inode(vf)]);
        for _ in 0..20 {
            node.unplug(vf).unwrap();
            node.replug(vf).unwrap();
            assert!(seen.insert(inode(vf)), "{} again", inode(vf));
        }
        let first = inode(pf);
        node.unplug(pf).unwrap();
        node.replug(pf).unwrap();
        assert_ne!(inode(pf), first);
        assert!(seen.insert(inode(vf)), "VFs go and come with their PF");
        assert_same(&before, dir);
    }
}

#[test]
fn a_reader_never_sees_half_a_value() {
    let sim = write_profile(Profile::Xeon4xxx);
    let pf = at("0000:6b:00.0");
    let path = sim.node.device(pf).join("qat/cfg_services");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let text = fs::read_to_string(&path).unwrap();
                assert!(["sym;asym\n", "dc\n"].contains(&text.as_str()), "{text:?}");
            }
        });
        for text in ["dc", "sym;asym"].repeat(200) {
            sim.node.set_services(pf, text).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn a_scan_beside_hot_plug_finds_the_others() {
    let sim = write_profile(Profile::C62x);
    let vf = at("0000:3d:01.0");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let scanner = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let snapshot = scan(&sim.node);
                // Whatever is half way through, nobody else is hidden by it.
                assert!(snapshot.functions.len() >= 50, "{:?}", snapshot.failures);
            }
        });
        for _ in 0..50 {
            sim.node.unplug(vf).unwrap();
            sim.node.replug(vf).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        scanner.join().unwrap();
    });
    assert_scan_agrees(&sim.node);
}
