//! The largest tree: far beyond real machines, which have at most 256 VFs.

use std::time::Instant;

use node_sim::Profile;

use super::{assert_scan_agrees, at, write_profile};

#[test]
fn four_thousand_vfs() {
    let start = Instant::now();
    let sim = write_profile(Profile::Scale { pfs: 16, vfs: 256 });
    let took = start.elapsed();
    assert_eq!(sim.node.pfs().len(), 16);
    assert_eq!(sim.node.vfs().len(), 4096);
    // The last VF of a PF is on the next bus, and yet beside its PF.
    let last = at("0000:41:00.0");
    assert_eq!(sim.node.vfs_of(at("0000:40:00.0")).last(), Some(&last));
    assert!(
        sim.node
            .sysfs()
            .join("devices/pci0000:40/0000:41:00.0")
            .is_dir()
    );
    assert_scan_agrees(&sim.node);
    println!("4096 VFs written in {took:?}");
}

#[test]
fn small_sizes_are_exact() {
    for (pfs, vfs) in [(0, 0), (1, 1), (1, 16), (2, 64)] {
        let sim = write_profile(Profile::Scale { pfs, vfs });
        assert_eq!(sim.node.vfs().len(), usize::from(pfs) * usize::from(vfs));
        assert_scan_agrees(&sim.node);
    }
}
