//! Functions on a driver of UIO.

use std::fs;

use node_sim::{Change, Machine, Profile};

use super::{assert_links_resolve, assert_same, assert_scan_agrees, attr, contents, write};

#[test]
fn a_vf_on_igb_uio_has_a_device_and_a_node() {
    let machine = Machine::profile(Profile::C62x).with(Change::NoIommu);
    let sim = write(machine.with(Change::AllVfsOn(Some("igb_uio"))));
    let node = &sim.node;
    for (number, vf) in node.vfs().into_iter().enumerate() {
        let name = format!("uio{number}");
        let dir = format!("uio/{name}");
        assert_eq!(attr(node, &vf.to_string(), &format!("{dir}/dev")), "1:3");
        assert_eq!(
            attr(node, &vf.to_string(), &format!("{dir}/name")),
            "igb_uio"
        );
        // What a container is given leads to the function.
        let attributes = node.sysfs().join("class/uio").join(&name).join("device");
        assert_eq!(
            fs::canonicalize(attributes).unwrap(),
            fs::canonicalize(node.device(vf)).unwrap()
        );
        assert!(node.dev().join(name).exists());
    }
    assert_links_resolve(sim.dir.path());
    assert_scan_agrees(node);
}

#[test]
fn unbind_takes_device_and_node_away_and_bind_brings_them_back() {
    let machine = Machine::profile(Profile::C62x);
    let sim = write(machine.with(Change::AllVfsOn(Some("igb_uio"))));
    let node = &sim.node;
    let before = contents(sim.dir.path());
    let vf = node.vfs()[7];
    node.unbind(vf).unwrap();
    assert!(!node.device(vf).join("uio").exists());
    assert!(!node.dev().join("uio7").exists());
    assert!(fs::symlink_metadata(node.sysfs().join("class/uio/uio7")).is_err());
    assert_links_resolve(sim.dir.path());
    node.bind(vf, "igb_uio").unwrap();
    assert_same(&before, sim.dir.path());
    node.unplug(vf).unwrap();
    assert!(!node.dev().join("uio7").exists());
    node.replug(vf).unwrap();
    assert_same(&before, sim.dir.path());
}
