use std::collections::BTreeMap;
use std::fs;
use std::slice;

use tempfile::TempDir;

use super::kata::{KataError, Port, Runtime, cold_plug, guest_env, hot_plug};
use super::kubevirt::{Backend, HostDevice, LaunchError, given_to_qemu, launch};
use super::user_space::{UserSpaceError, dpdk_args, numbered, qatlib_functions};
use crate::{AnswerDevice, Change, ContainerAnswer, Machine, Profile, SimNode};

const RESOURCE: &str = "vendor.com/fast-nic";
const VARIABLE: &str = "PCI_RESOURCE_VENDOR_COM_FAST-NIC";

/// A machine with VFs, and containers that get some of them.
struct Site {
    node: SimNode,
    dir: TempDir,
}

impl Site {
    fn new(machine: Machine) -> Self {
        let dir = crate::scratch().unwrap();
        let node = machine.write(dir.path()).unwrap();
        Self { node, dir }
    }

    fn usual() -> Self {
        Self::new(Machine::profile(Profile::Xeon4xxx))
    }

    fn addresses(&self, count: usize) -> Vec<String> {
        let vfs = self.node.vfs().into_iter().take(count);
        vfs.map(|vf| vf.to_string()).collect()
    }

    fn group(&self, number: usize) -> String {
        let vf = self.node.vfs()[number];
        format!("/dev/vfio/{}", self.node.group_of(vf).unwrap())
    }

    /// A container with the first VFs, their groups' nodes and KubeVirt's variable.
    fn container(&self, count: usize) -> ContainerAnswer {
        let groups = (0..count).map(|number| self.group(number));
        let nodes = ["/dev/vfio/vfio".to_owned()].into_iter().chain(groups);
        let list = self.addresses(count).join(",");
        ContainerAnswer {
            envs: BTreeMap::from([(VARIABLE.to_owned(), list)]),
            devices: nodes.map(node).collect(),
            ..ContainerAnswer::default()
        }
    }

    fn launch(
        &self,
        wanted: &[HostDevice],
        container: &ContainerAnswer,
    ) -> Result<Vec<String>, LaunchError> {
        let found = launch(wanted, container, &self.node.sysfs(), Backend::Group)?;
        Ok(found.into_iter().map(|device| device.address).collect())
    }
}

fn node(path: String) -> AnswerDevice {
    AnswerDevice {
        container_path: path.clone(),
        host_path: path,
        permissions: "rw".to_owned(),
    }
}

fn wanted(count: usize) -> Vec<HostDevice> {
    let one = |number| HostDevice {
        name: format!("device-{number}"),
        resource: RESOURCE.to_owned(),
    };
    (0..count).map(one).collect()
}

#[test]
fn a_machine_takes_addresses_front_to_back() {
    let site = Site::usual();
    for count in [1, 2, 16] {
        let container = site.container(count);
        let found = site.launch(&wanted(count), &container);
        assert_eq!(found.unwrap(), site.addresses(count));
    }
    // A surplus is not noticed, and a comma at the end is cut.
    let mut container = site.container(3);
    assert_eq!(
        site.launch(&wanted(2), &container).unwrap(),
        site.addresses(2)
    );
    container.envs.get_mut(VARIABLE).unwrap().push(',');
    assert_eq!(
        site.launch(&wanted(3), &container).unwrap(),
        site.addresses(3)
    );
}

#[test]
fn a_machine_does_not_start_with_another_number_of_devices() {
    let site = Site::usual();
    let container = site.container(1);
    let count = |found, wanted| LaunchError::Count { found, wanted };
    assert_eq!(
        site.launch(&wanted(2), &container).unwrap_err(),
        count(1, 2)
    );
    // For a second variable a second device is taken.
    let mut both = container.clone();
    let mdev = format!("MDEV_{VARIABLE}");
    both.envs.insert(mdev, "0000:6b:00.1".to_owned());
    assert_eq!(site.launch(&wanted(1), &both).unwrap_err(), count(2, 1));
    // An address is taken once, whatever lists it is in.
    let mut twice = site.container(1);
    let other = "PCI_RESOURCE_VENDOR_COM_OTHER".to_owned();
    twice.envs.insert(other, site.addresses(1).concat());
    let mut both = wanted(1);
    both.push(HostDevice {
        name: "other".to_owned(),
        resource: "vendor.com/other".to_owned(),
    });
    assert_eq!(site.launch(&both, &twice).unwrap_err(), count(1, 2));
}

#[test]
fn a_machine_wants_full_addresses_and_its_nodes() {
    let site = Site::usual();
    for bad in [
        "10000:6b:00.1",
        "6b:00.1",
        " 0000:6b:00.1",
        "0000:6b:00.8",
        "vfio0",
    ] {
        let mut container = site.container(1);
        container.envs.insert(VARIABLE.to_owned(), bad.to_owned());
        let error = site.launch(&wanted(1), &container).unwrap_err();
        assert!(
            matches!(error, LaunchError::Address { .. }),
            "{bad}: {error}"
        );
    }
    let mut container = site.container(1);
    container.devices.pop();
    let error = site.launch(&wanted(1), &container).unwrap_err();
    assert!(error.to_string().contains(&site.group(0)), "{error}");
    // With iommufd it is the function's own device.
    let error = launch(
        &wanted(1),
        &site.container(1),
        &site.node.sysfs(),
        Backend::Iommufd,
    );
    let text = error.unwrap_err().to_string();
    assert!(text.contains("/dev/vfio/devices/vfio0"), "{text}");
}

#[test]
fn qemu_is_given_groups_where_the_control_node_is() {
    let site = Site::usual();
    let mut container = site.container(2);
    container
        .devices
        .push(node("/dev/vfio/devices/vfio0".to_owned()));
    assert_eq!(given_to_qemu(&container), [site.group(0), site.group(1)]);
    container.devices.remove(0);
    assert_eq!(given_to_qemu(&container), [""; 0]);
}

#[test]
fn every_node_but_the_control_node_is_plugged_once() {
    let site = Site::usual();
    let sysfs = &site.node.sysfs();
    let mut container = site.container(2);
    let plugged = hot_plug(&container, sysfs, Port::Root).unwrap();
    assert_eq!(plugged.functions, site.addresses(2));
    assert_eq!(plugged.generic, [""; 0]);
    let error = hot_plug(&container, sysfs, Port::None).unwrap_err();
    assert!(error.to_string().contains("port is not set"), "{error}");
    container.devices.push(node("/dev/iommu".to_owned()));
    let plugged = hot_plug(&container, sysfs, Port::Root).unwrap();
    assert_eq!(plugged.generic, ["/dev/iommu"]);
    container
        .devices
        .push(node("/dev/vfio/devices/vfio1".to_owned()));
    let error = hot_plug(&container, sysfs, Port::Root).unwrap_err();
    assert!(matches!(error, KataError::Twice { .. }), "{error}");
    container.devices.push(node("/dev/vfio/4711".to_owned()));
    container.devices.remove(4);
    let error = hot_plug(&container, sysfs, Port::Root).unwrap_err();
    assert!(matches!(error, KataError::NotVfio { .. }), "{error}");
}

#[test]
fn a_group_is_plugged_whole() {
    let machine = Machine::profile(Profile::Xeon4xxx);
    let vfs = machine.vfs();
    let site = Site::new(machine.with(Change::SharedGroup {
        a: vfs[0],
        b: vfs[1],
    }));
    let plugged = hot_plug(&site.container(1), &site.node.sysfs(), Port::Root).unwrap();
    assert_eq!(plugged.functions, site.addresses(2));
    // qatlib takes such a group for nothing.
    let container = site.container(1);
    assert_eq!(qatlib_functions(&container, &site.node.sysfs()), [""; 0]);
}

#[test]
fn cold_plug_looks_up_exact_names() {
    let site = Site::usual();
    let cdi = site.dir.path().join("cdi");
    fs::create_dir(&cdi).unwrap();
    let address = site.addresses(1).concat();
    let write = |nodes: &str| {
        let text = format!(
            r#"# A comment.
{{"kind": "{RESOURCE}", "devices": [{{"name": "{address}", "containerEdits": {{"deviceNodes": [{nodes}]}}}}]}}"#
        );
        fs::write(cdi.join("a.yaml"), text).unwrap();
    };
    let plug = |runtime, resource: &str| {
        let held = BTreeMap::from([(resource.to_owned(), vec![address.clone()])]);
        cold_plug(runtime, &held, &cdi, &site.node.sysfs())
    };
    let group = format!(r#"{{"path": "{}"}}"#, site.group(0));
    write(&group);
    for runtime in [Runtime::Go, Runtime::Rust] {
        assert_eq!(plug(runtime, RESOURCE).unwrap(), slice::from_ref(&address));
        let error = plug(runtime, "vendor.com/other").unwrap_err();
        assert!(matches!(error, KataError::Unresolvable { .. }), "{error}");
    }
    // Only one of the runtimes passes over what is no device.
    write(&format!(r#"{{"path": "/dev/vfio/vfio"}}, {group}"#));
    plug(Runtime::Go, RESOURCE).unwrap();
    let error = plug(Runtime::Rust, RESOURCE).unwrap_err();
    assert_eq!(error.to_string(), "Invalid VFIO group path: /dev/vfio/vfio");
}

#[test]
fn the_agent_knows_one_family_of_variables() {
    let text = |text: &str| text.to_owned();
    let addresses = BTreeMap::from([
        (text("0000:6b:00.1"), text("0000:02:00.0")),
        (text("0000:6b:00.2"), text("0000:03:00.0")),
    ]);
    for (name, value, expected) in [
        ("PCIDEVICE_A", "0000:6b:00.1", "0000:02:00.0"),
        (
            "PCIDEVICE_A",
            "0000:6b:00.2,0000:6b:00.1",
            "0000:03:00.0,0000:02:00.0",
        ),
        // One that has no counterpart, or is none, leaves all as they are.
        (
            "PCIDEVICE_A",
            "0000:6b:00.1,0000:6b:00.3",
            "0000:6b:00.1,0000:6b:00.3",
        ),
        (
            "PCIDEVICE_A",
            "0000:6b:00.1, 0000:6b:00.2",
            "0000:6b:00.1, 0000:6b:00.2",
        ),
        ("PCI_RESOURCE_A", "0000:6b:00.1", "0000:6b:00.1"),
        ("QAT0", "0000:6b:00.1", "0000:6b:00.1"),
        ("PCIDEVICE_A_INFO", "0000:6b:00.1", "0000:6b:00.1"),
    ] {
        let host = BTreeMap::from([(text(name), text(value))]);
        assert_eq!(
            guest_env(&host, &addresses)[name],
            expected,
            "{name}={value}"
        );
    }
    let host = BTreeMap::from([
        (text("PCIDEVICE_A"), text("0000:6b:00.1")),
        (text("PCIDEVICE_A_INFO"), text(r#"{"0000:6b:00.1":"x"}"#)),
    ]);
    let guest = guest_env(&host, &addresses);
    assert_eq!(guest["PCIDEVICE_A_INFO"], r#"{"0000:02:00.0":"x"}"#);
}

#[test]
fn dpdk_opens_what_the_addresses_lead_to() {
    let site = Site::usual();
    let mut container = site.container(2);
    let list = container.envs[VARIABLE].clone();
    container.envs.insert("PCIDEVICE_A".to_owned(), list);
    let args =
        |container: &ContainerAnswer, name: &str| dpdk_args(container, name, &site.node.sysfs());
    let addresses = site.addresses(2);
    let expected = ["-a", &addresses[0], "-a", &addresses[1]];
    assert_eq!(args(&container, "PCIDEVICE_A").unwrap(), expected);
    let error = args(&container, VARIABLE).unwrap_err();
    assert!(matches!(error, UserSpaceError::NoName { .. }), "{error}");
    let error = args(&container, "PCIDEVICE_B").unwrap_err();
    assert!(matches!(error, UserSpaceError::NotSet { .. }), "{error}");
    assert_eq!(qatlib_functions(&container, &site.node.sysfs()), addresses);
    "r".clone_into(&mut container.devices[2].permissions);
    let error = args(&container, "PCIDEVICE_A").unwrap_err();
    assert!(error.to_string().contains(&site.group(1)), "{error}");
}

#[test]
fn numbers_end_where_one_is_missing() {
    let envs = ["N0", "N1", "N3"].map(|name| (name.to_owned(), name.to_lowercase()));
    assert_eq!(numbered(&BTreeMap::from(envs), "N"), ["n0", "n1"]);
}
