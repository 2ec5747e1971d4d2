//! Descriptions of other devices, and of machines that cannot be.

use node_sim::{Change, FunctionSpec, Machine, PfSpec, Profile};

use super::{
    assert_links_resolve, at, attr,
    changes::{pf, vf, xeon},
    contents, write,
};

#[test]
fn devices_of_other_vendors() {
    let bridge = FunctionSpec::new(at("0000:5d:00.0"), "8086:352a".parse().unwrap())
        .class(0x06_0400)
        .driver("pcieport");
    let disk = FunctionSpec::new(at("0000:5e:00.0"), "144d:a824".parse().unwrap())
        .class(0x01_0802)
        .behind(at("0000:5d:00.0"))
        .driver("nvme");
    let spec = PfSpec::new(disk, "144d:a825".parse().unwrap(), 8)
        .offset(2)
        .stride(2)
        .vf_driver("nvme_vfio_pci");
    let machine = Machine::new()
        .function(bridge)
        .vfio_driver("nvme_vfio_pci")
        .pf(spec);
    let sim = write(machine);
    assert_links_resolve(sim.dir.path());
    assert_eq!(sim.node.vfs()[7], at("0000:5e:02.0"));
    assert_eq!(attr(&sim.node, "0000:5e:00.2", "class"), "0x010802");
    assert_eq!(
        attr(&sim.node, "0000:5e:00.2", "driver_override"),
        "nvme_vfio_pci"
    );
    assert!(sim.node.dev().join("vfio/320").exists());
}

#[test]
fn wrong_descriptions_are_refused_before_anything_is_written() {
    let stranger = at("0000:99:00.0");
    let twice = FunctionSpec::new(pf(), "8086:4940".parse().unwrap());
    let above = FunctionSpec::new(stranger, "8086:4940".parse().unwrap()).behind(stranger);
    let last_bus = FunctionSpec::new(at("0000:ff:1f.0"), "8086:4940".parse().unwrap());
    let unplaced = PfSpec::new(last_bus, "8086:4941".parse().unwrap(), 16);
    for (machine, expected) in [
        (
            xeon().with(Change::NoVfs(stranger)),
            "no function `0000:99:00.0`",
        ),
        (
            xeon().with(Change::NoVfs(vf())),
            "`0000:6b:00.1` is not a physical function",
        ),
        (
            xeon().function(twice),
            "two functions have the address `0000:6b:00.0`",
        ),
        (xeon().function(above), "lead in a circle"),
        (xeon().pf(unplaced), "VF 7 of `0000:ff:1f.0` has no address"),
        (
            Machine::profile(Profile::Scale { pfs: 17, vfs: 1 }),
            "at most 16",
        ),
        (
            xeon()
                .with(Change::NoIommu)
                .with(Change::SharedGroup { a: vf(), b: pf() }),
            "has no IOMMU group",
        ),
    ] {
        let dir = node_sim::scratch().unwrap();
        let error = machine.write(dir.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(contents(dir.path()).is_empty());
    }
}
