use device_plugin::{DeviceId, ResourceName};
use node_sim::{Change, FunctionSpec, Machine, Numa, PfSpec, SimNode};
use sysfs_pci::{PciAddress, SysfsRoot};
use tempfile::TempDir;
use vfio_host::Host;

use super::Pool;

const VF: &str = "144d:a825";

/// A disk with four VFs on `vfio-pci`.
fn disk() -> Machine {
    let pf = FunctionSpec::new(
        "0000:5e:00.0".parse().unwrap(),
        "144d:a824".parse().unwrap(),
    )
    .class(0x01_0802)
    .driver("nvme")
    .numa(Numa::Node(1));
    Machine::new().pf(PfSpec::new(pf, VF.parse().unwrap(), 4).vf_driver("vfio-pci"))
}

fn write(machine: Machine) -> (TempDir, SimNode, Pool) {
    let dir = node_sim::scratch().unwrap();
    let node = machine.write(dir.path()).unwrap();
    let pool = Pool {
        host: Host::new(node.sysfs(), node.dev()),
        ids: vec![VF.parse().unwrap()],
    };
    (dir, node, pool)
}

fn ids(pool: &Pool) -> Vec<String> {
    let devices = pool.devices().unwrap().into_iter();
    devices.map(|device| device.id.to_string()).collect()
}

fn texts(addresses: &[PciAddress]) -> Vec<String> {
    addresses.iter().map(PciAddress::to_string).collect()
}

fn hand_out(pool: &Pool, address: PciAddress) -> Result<String, String> {
    let resource: ResourceName = "example.com/disk".parse().unwrap();
    let id: DeviceId = address.to_string().parse().unwrap();
    let edits = pool.hand_out(&resource, &[id]);
    edits
        .map(|edits| edits.envs["PCI_RESOURCE_EXAMPLE_COM_DISK"].clone())
        .map_err(|error| error.to_string())
}

#[test]
fn what_can_be_had_is_a_device_with_its_numa_node() {
    let (_dir, node, pool) = write(disk());
    assert_eq!(ids(&pool), texts(&node.vfs()));
    assert!(pool.devices().unwrap().iter().all(|d| d.numa_nodes == [1]));
    let vf = node.vfs()[2];
    assert_eq!(hand_out(&pool, vf), Ok(vf.to_string()));
}

#[test]
fn what_cannot_be_had_is_left_out_and_refused() {
    let vfs = disk().vfs();
    let (_dir, node, pool) = write(disk().with(Change::NicInGroup {
        of: vfs[0],
        driver: Some("ixgbe"),
    }));
    node.unbind(vfs[1]).unwrap();
    node.remove_node(node.group_of(vfs[2]).unwrap()).unwrap();
    assert_eq!(ids(&pool), texts(&vfs[3..]));
    for (vf, reason) in [(0, "ixgbe"), (1, "has no driver"), (2, "is missing")] {
        let refusal = hand_out(&pool, vfs[vf]).unwrap_err();
        assert!(refusal.contains(reason), "{refusal}");
    }
}

#[test]
fn of_a_shared_group_one_function_is_offered() {
    let vfs = disk().vfs();
    let (a, b) = (vfs[1], vfs[2]);
    let (_dir, node, pool) = write(disk().with(Change::SharedGroup { a, b }));
    assert_eq!(ids(&pool), texts(&[vfs[0], a, vfs[3]]));
    node.unbind(a).unwrap();
    assert_eq!(ids(&pool), texts(&[vfs[0], b, vfs[3]]));
}

#[test]
fn another_function_at_the_address_is_refused() {
    let (_dir, node, mut pool) = write(disk());
    pool.ids = vec!["8086:5845".parse().unwrap()];
    assert_eq!(ids(&pool), [""; 0]);
    let refusal = hand_out(&pool, node.vfs()[0]).unwrap_err();
    assert!(refusal.contains("is a 144d:a825 now"), "{refusal}");
}

#[test]
fn a_machine_without_a_bus_is_an_error() {
    let (dir, _node, mut pool) = write(disk());
    pool.host.sysfs = SysfsRoot::new(dir.path().join("nothing"));
    assert!(pool.devices().is_err());
}
