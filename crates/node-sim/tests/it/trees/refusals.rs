//! What a kernel refuses, and that nothing has changed then.

use std::io;

use node_sim::{Change, Machine, Profile, SimError};

use super::{assert_same, at, contents, write, write_profile};

#[test]
fn what_a_kernel_refuses_is_refused() {
    let sim = write_profile(Profile::Xeon4xxx);
    let node = &sim.node;
    let vf = at("0000:6b:00.1");
    let before = contents(sim.dir.path());
    assert!(matches!(
        node.bind(vf, "vfio-pci"),
        Err(SimError::AlreadyBound { .. })
    ));
    assert!(matches!(node.replug(vf), Err(SimError::Description(_))));
    assert!(matches!(
        node.unplug(at("0000:99:00.0")),
        Err(SimError::Description(_))
    ));
    assert!(matches!(
        node.set_services(vf, "dc"),
        Err(SimError::Description(_))
    ));
    assert!(matches!(
        node.write_attr(vf, "nothing", b""),
        Err(SimError::Description(_))
    ));
    assert_same(&before, sim.dir.path());
    node.unbind(vf).unwrap();
    assert!(matches!(node.unbind(vf), Err(SimError::NotBound { .. })));
    let group = node.group_of(vf).unwrap();
    assert!(matches!(
        node.add_node(group),
        Err(SimError::NoVfioGroup { .. })
    ));

    let sim = write(Machine::profile(Profile::Xeon4xxx).with(Change::NoIommu));
    assert!(matches!(
        sim.node.bind(vf, "vfio-pci"),
        Err(SimError::NoIommu { .. })
    ));
    sim.node.bind(vf, "4xxxvf").unwrap();
}

#[test]
fn the_denylist_keeps_functions_from_vfio_pci() {
    let machine = Machine::profile(Profile::C62x).with(Change::Denylist(true));
    let sim = write(machine);
    let vf = at("0000:3d:01.0");
    assert_eq!(sim.node.driver_of(vf), None);
    let before = contents(sim.dir.path());
    let error = sim.node.bind(vf, "vfio-pci").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`0000:3d:01.0` is a `8086:37c9`, which is on the denylist of `vfio-pci`"
    );
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    assert_same(&before, sim.dir.path());
    // Its own driver knows no list, and `disable_denylist` switches the list off.
    sim.node.bind(vf, "c6xxvf").unwrap();
    let sim = write(Machine::profile(Profile::C62x).with(Change::Denylist(false)));
    sim.node.unbind(vf).unwrap();
    sim.node.bind(vf, "vfio-pci").unwrap();
    // What is not on the list is free.
    let sim = write(Machine::profile(Profile::Xeon4xxx).with(Change::Denylist(true)));
    let vf = at("0000:6b:00.1");
    sim.node.unbind(vf).unwrap();
    sim.node.bind(vf, "vfio-pci").unwrap();
}

#[test]
fn a_pf_with_vfs_is_not_for_vfio() {
    let address = at("0000:6b:00.0");
    let unbound = Change::Driver {
        address,
        driver: None,
    };
    let sim = write(Machine::profile(Profile::Xeon4xxx).with(unbound));
    assert_eq!(sim.node.vfs_of(address).len(), 16);
    let before = contents(sim.dir.path());
    for driver in ["vfio-pci", "qat_vfio_pci"] {
        let error = sim.node.bind(address, driver).unwrap_err();
        assert!(matches!(error, SimError::HasVfs { pf } if pf == address));
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ResourceBusy);
    }
    assert_same(&before, sim.dir.path());
    sim.node.disable_sriov(address).unwrap();
    sim.node.bind(address, "vfio-pci").unwrap();
}
