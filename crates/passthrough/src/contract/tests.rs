use std::collections::BTreeSet;
use std::path::PathBuf;

use device_plugin::cdi::Owner;
use device_plugin::{ContainerEdits, DeviceNode, ResourceName};
use proptest::collection::btree_set;
use proptest::prelude::{Strategy, prop_assert_eq, proptest};
use serde_json::{Value, json};
use sysfs_pci::{IommuGroupId, PciAddress};
use vfio_host::{NodeKind, UioNode, VfioNode};

use super::*;
use crate::{FunctionNode, Grant, GrantedFunction, NumberedPrefix, VfioInterface, cdi_spec, edits};

/// A container's whole situation, good until a test changes something.
struct Case {
    resource: ResourceName,
    interface: VfioInterface,
    prefix: Option<NumberedPrefix>,
    subjects: Vec<Subject>,
    edits: ContainerEdits,
    cdi: Option<Result<Value, String>>,
    private: BTreeSet<PathBuf>,
}

fn vfio(kind: NodeKind, path: String) -> VfioNode {
    VfioNode {
        kind,
        host_path: path.clone().into(),
        container_path: path.into(),
    }
}

/// The nodes of function number `n`, its group being 320 + n and its device `vfio<n>`.
fn nodes(interface: VfioInterface, n: u32) -> Vec<FunctionNode> {
    let group = vfio(NodeKind::Group, format!("/dev/vfio/{}", 320 + n)).into();
    let cdev = vfio(NodeKind::Cdev, format!("/dev/vfio/devices/vfio{n}")).into();
    match interface {
        VfioInterface::Group => vec![group],
        VfioInterface::Cdev => vec![cdev],
        VfioInterface::Both => vec![group, cdev],
        VfioInterface::None => Vec::new(),
    }
}

impl Case {
    /// What the builder makes of these functions.
    fn new(resource: &str, addresses: &[&str], interface: VfioInterface) -> Self {
        let resource: ResourceName = resource.parse().unwrap();
        let prefix: NumberedPrefix = "FAST".parse().unwrap();
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        let numbered: Vec<(u32, PciAddress)> = (0..).zip(addresses).collect();
        let grant = Grant {
            resource: &resource,
            functions: numbered
                .iter()
                .map(|&(n, address)| GrantedFunction {
                    address,
                    nodes: nodes(interface, n),
                })
                .collect(),
            control: Some(vfio(NodeKind::Control, "/dev/vfio/vfio".to_owned())),
            numbered_prefix: Some(&prefix),
            cdi_names: false,
        };
        let spec = cdi_spec(&grant, Owner::default()).map_err(|error| error.to_string());
        let edits = edits(&grant);
        Self {
            subjects: numbered
                .iter()
                .map(|&(n, address)| Subject {
                    address,
                    group: Some(IommuGroupId::new(320 + n)),
                    companions: Vec::new(),
                })
                .collect(),
            cdi: Some(spec.map(|spec| serde_json::from_str(&spec.to_string()).unwrap())),
            interface,
            prefix: Some(prefix),
            edits,
            private: BTreeSet::new(),
            resource,
        }
    }

    fn one() -> Self {
        Self::new("example.com/fast", &["0000:6b:00.1"], VfioInterface::Group)
    }

    fn judge(&self, contract: &Contract) -> Verdict {
        contract.judge(&Answer {
            resource: &self.resource,
            functions: &self.subjects,
            edits: &self.edits,
            interface: self.interface,
            numbered_prefix: self.prefix.as_ref(),
            cdi: self
                .cdi
                .as_ref()
                .map(|file| file.as_ref().map_err(String::as_str)),
            private: &self.private,
        })
    }

    /// The standing with each consumer, in the order of [`ALL`].
    fn standings(&self) -> [Standing; 8] {
        ALL.map(|contract| self.judge(&contract).standing())
    }

    /// The codes of what one consumer complains of.
    fn codes(&self, contract: &Contract) -> Vec<&'static str> {
        let verdict = self.judge(contract);
        verdict.problems.iter().map(Problem::code).collect()
    }

    fn remove_node(&mut self, path: &str) {
        self.edits
            .devices
            .retain(|node| node.container_path.as_os_str() != path);
    }
}

/// Which consumers an operator serves with each choice. The one table to look at.
#[test]
fn every_choice_serves_whom_the_documentation_says() {
    use Standing::{Broken, Good, Off};
    for (interface, expected) in [
        // KubeVirt, with IOMMUFD, Kata Go hot and cold, Kata Rust hot and cold, DPDK, numbered.
        (
            VfioInterface::Group,
            [Good, Off, Good, Good, Good, Good, Good, Good],
        ),
        (
            VfioInterface::Cdev,
            [Off, Good, Good, Good, Good, Good, Off, Good],
        ),
        (
            VfioInterface::Both,
            [Good, Good, Broken, Broken, Broken, Broken, Good, Good],
        ),
        (
            VfioInterface::None,
            [Off, Off, Off, Off, Off, Off, Off, Good],
        ),
    ] {
        let case = Case::new(
            "example.com/fast",
            &["0000:6b:00.2", "0000:6b:00.1"],
            interface,
        );
        assert_eq!(case.standings(), expected, "{interface}");
    }
    let mut bare = Case::one();
    bare.cdi = None;
    assert_eq!(
        bare.standings(),
        [Good, Off, Good, Off, Good, Off, Good, Good],
        "without CDI"
    );
}

/// One, two and sixteen devices: KubeVirt's list has them all, in order, and nothing else.
#[test]
fn kubevirt_gets_as_many_addresses_as_it_asked_for() {
    for count in [1_u8, 2, 16] {
        let addresses: Vec<String> = (0..count)
            .map(|n| format!("0000:6b:{:02x}.{}", n / 8, n % 8))
            .collect();
        let shuffled: Vec<&str> = addresses.iter().rev().map(String::as_str).collect();
        let mut case = Case::new("example.com/fast", &shuffled, VfioInterface::Group);
        assert_eq!(case.judge(&KUBEVIRT).standing(), Standing::Good, "{count}");
        let name = "PCI_RESOURCE_EXAMPLE_COM_FAST";
        assert_eq!(case.edits.envs[name], addresses.join(","));
        // One more, one less, a blank, another order: each moves a device to another name.
        for wrong in [
            format!("{},0000:ff:1f.7", addresses.join(",")),
            addresses[1..].join(","),
            addresses.join(", ") + " ",
            addresses.join(",").to_uppercase(),
        ] {
            case.edits.envs.insert(name.to_owned(), wrong);
            assert_eq!(case.codes(&KUBEVIRT), ["variable-value"]);
        }
    }
}

/// KubeVirt takes a device for each variable that names the resource, so one request would bring two.
#[test]
fn the_variable_of_mediated_devices_breaks_the_machine() {
    let mut case = Case::one();
    let name = "MDEV_PCI_RESOURCE_EXAMPLE_COM_FAST".to_owned();
    case.edits.envs.insert(name, "0000:6b:00.1".to_owned());
    assert_eq!(case.codes(&KUBEVIRT), ["variable-forbidden"]);
    assert_eq!(case.codes(&KATA_GO), [""; 0]);
}

#[test]
fn what_kubevirt_misses_is_named() {
    for path in ["/dev/vfio/vfio", "/dev/vfio/320"] {
        let mut case = Case::one();
        case.remove_node(path);
        let verdict = case.judge(&KUBEVIRT);
        assert_eq!(
            verdict.to_string(),
            format!("KubeVirt: FAILS: `{path}` is not in the container")
        );
    }
    let far = Case::new("example.com/fast", &["10000:6b:00.1"], VfioInterface::Group);
    assert_eq!(far.codes(&KUBEVIRT), ["domain"]);
    let mut unnamed = Case::one();
    unnamed.edits.envs.clear();
    assert_eq!(unnamed.codes(&KUBEVIRT), ["no-variable"]);
    let mut no_write = Case::one();
    "r".clone_into(&mut no_write.edits.devices[1].permissions);
    assert_eq!(no_write.codes(&KUBEVIRT), ["node-permissions"]);
}

#[test]
fn a_character_device_that_is_only_in_sysfs_is_missed_by_iommufd_alone() {
    // The builder was given the group in its place.
    let mut case = Case::one();
    case.interface = VfioInterface::Cdev;
    assert_eq!(case.codes(&KUBEVIRT_IOMMUFD), ["no-cdev"]);
    assert_eq!(case.judge(&KUBEVIRT).standing(), Standing::Good);
    assert_eq!(case.judge(&KATA_GO).standing(), Standing::Good);
    // With it, QEMU's user must be let in.
    let mut case = Case::new("example.com/fast", &["0000:6b:00.1"], VfioInterface::Cdev);
    case.private.insert("/dev/vfio/devices/vfio0".into());
    assert_eq!(
        case.judge(&KUBEVIRT_IOMMUFD).standing(),
        Standing::Conditional
    );
}

#[test]
fn kata_takes_neither_strangers_nor_the_iommu() {
    let mut case = Case::one();
    case.subjects[0].companions = vec!["0000:6b:00.2".parse().unwrap()];
    assert_eq!(case.codes(&KATA_GO), ["companions"]);
    assert_eq!(case.codes(&KATA_RS), ["companions"]);
    assert_eq!(case.codes(&KUBEVIRT), [""; 0]);
    let mut case = Case::one();
    case.edits.devices.push(DeviceNode::rw("/dev/iommu"));
    assert_eq!(case.codes(&KATA_GO), ["node-harmful"]);
    // Its agent is told of addresses in domain 0000.
    let far = Case::new("example.com/fast", &["0001:6b:00.1"], VfioInterface::Group);
    assert_eq!(far.codes(&KATA_GO), ["domain"]);
    assert_eq!(far.codes(&KATA_RS), [""; 0]);
}

/// The agent corrects the JSON as text, so a short address in it would stay the host's.
#[test]
fn kata_wants_full_addresses_in_the_json() {
    let mut case = Case::one();
    let name = "PCIDEVICE_EXAMPLE_COM_FAST_INFO".to_owned();
    let short = r#"{"6b:00.1":{"generic":{"deviceID":"6b:00.1"}}}"#;
    case.edits.envs.insert(name.clone(), short.to_owned());
    assert_eq!(case.codes(&KATA_GO), ["variable-info"]);
    case.edits.envs.remove(&name);
    assert_eq!(case.codes(&KATA_GO), ["no-variable"]);
}

#[test]
fn cold_plug_finds_each_function_in_cdi_or_the_sandbox_fails() {
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut case = Case::one();
        if let Some(Ok(file)) = &mut case.cdi {
            change(file);
        }
        case.codes(&KATA_RS_COLD)
    };
    assert_eq!(broken(&|_| {}), [""; 0]);
    assert_eq!(
        broken(&|file| file["kind"] = json!("example.com/net-pci")),
        ["cdi-kind"]
    );
    assert_eq!(
        broken(&|file| file["devices"][0]["name"] = json!("vfio0")),
        ["cdi-no-device"]
    );
    let nodes = |file: &mut Value, nodes: Value| {
        file["devices"][0]["containerEdits"]["deviceNodes"] = nodes;
    };
    assert_eq!(broken(&|file| nodes(file, json!([]))), ["cdi-nodes"]);
    assert_eq!(
        broken(&|file| nodes(
            file,
            json!([{"path": "/dev/vfio/vfio"}, {"path": "/dev/vfio/320"}])
        )),
        ["cdi-nodes"]
    );
    assert_eq!(
        broken(&|file| nodes(file, json!([{"path": "/dev/vfio/vfio"}]))),
        ["cdi-nodes"]
    );
    assert_eq!(
        broken(&|file| nodes(file, json!([{"path": "/dev/vfio/devices/vfio0"}]))),
        ["cdi-other-node"]
    );
    let mut gone = Case::one();
    gone.cdi = Some(Err("it is not there".to_owned()));
    assert_eq!(gone.codes(&KATA_GO_COLD), ["cdi-file"]);
    // A resource that Kubernetes allows and CDI does not.
    let digit = Case::new("example.com/4xxx", &["0000:6b:00.1"], VfioInterface::Group);
    assert_eq!(digit.codes(&KATA_GO_COLD), ["cdi-no-kind"]);
}

#[test]
fn a_shell_reads_the_name_without_a_dash() {
    let mut case = Case::new("example.com/a-b", &["0000:6b:00.1"], VfioInterface::Group);
    assert_eq!(case.judge(&DPDK).standing(), Standing::Conditional);
    assert_eq!(
        case.judge(&DPDK).to_string(),
        "DPDK in a container: ok if: scripts read `PCIDEVICE_EXAMPLE_COM_A_B`, as a shell cannot read \
         `PCIDEVICE_EXAMPLE_COM_A-B`, for its dash"
    );
    case.edits.envs.remove("PCIDEVICE_EXAMPLE_COM_A_B");
    assert_eq!(case.codes(&DPDK), ["variable-unreadable"]);
}

#[test]
fn a_node_that_only_root_may_open_is_a_condition() {
    let mut case = Case::one();
    case.private.insert("/dev/vfio/320".into());
    assert_eq!(case.judge(&DPDK).standing(), Standing::Conditional);
    assert_eq!(case.codes(&DPDK), ["root-only"]);
    // virt-handler gives the group's node to QEMU.
    assert_eq!(case.judge(&KUBEVIRT).standing(), Standing::Good);
}

#[test]
fn numbered_variables_are_without_a_gap_and_end() {
    let addresses = ["0000:6b:00.1", "0000:6b:00.2"];
    let mut case = Case::new("example.com/fast", &addresses, VfioInterface::Group);
    case.edits
        .envs
        .insert("FAST2".to_owned(), "0000:6b:00.3".to_owned());
    assert_eq!(case.codes(&NUMBERED), ["variable-forbidden"]);
    case.edits.envs.remove("FAST2");
    case.edits.envs.remove("FAST0");
    assert_eq!(case.codes(&NUMBERED), ["no-variable"]);
    case.prefix = None;
    assert_eq!(case.judge(&NUMBERED).standing(), Standing::Off);
}

#[test]
fn a_function_on_uio_serves_dpdk_and_no_machine() {
    let mut case = Case::one();
    case.subjects[0].group = None;
    let uio = UioNode {
        host_path: "/dev/uio9".into(),
        attributes: "/sys/class/uio/uio9/device".into(),
    };
    case.edits = edits(&Grant {
        resource: &case.resource,
        functions: vec![GrantedFunction {
            address: case.subjects[0].address,
            nodes: vec![uio.into()],
        }],
        control: None,
        numbered_prefix: case.prefix.as_ref(),
        cdi_names: false,
    });
    assert_eq!(case.judge(&DPDK).standing(), Standing::Good);
    for machine in [KUBEVIRT, KATA_GO, KATA_RS_COLD] {
        assert!(case.codes(&machine).contains(&"uio"), "{}", machine.code);
    }
}

#[test]
fn codes_of_consumers_differ() {
    let codes: BTreeSet<&str> = ALL.iter().map(|contract| contract.code).collect();
    assert_eq!(codes.len(), ALL.len());
}

fn addresses() -> impl Strategy<Value = Vec<String>> {
    let one = (0_u8..=255, 0_u8..32, 0_u8..8)
        .prop_map(|(bus, device, function)| format!("0000:{bus:02x}:{device:02x}.{function}"));
    btree_set(one, 1..20).prop_map(|set| set.into_iter().collect())
}

proptest! {
    /// Whatever is granted by the group, everybody who can use groups is served.
    #[test]
    fn every_answer_keeps_every_contract(addresses in addresses(), name in "[a-z][a-z0-9._-]{0,20}[a-z0-9]") {
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let resource = format!("example.com/{name}");
        for (interface, served) in [
            (VfioInterface::Group, &[KUBEVIRT, KATA_GO, KATA_GO_COLD, KATA_RS, KATA_RS_COLD, NUMBERED][..]),
            (VfioInterface::Cdev, &[KUBEVIRT_IOMMUFD, KATA_GO, KATA_GO_COLD, KATA_RS, KATA_RS_COLD]),
            (VfioInterface::Both, &[KUBEVIRT, KUBEVIRT_IOMMUFD]),
        ] {
            let case = Case::new(&resource, &addresses, interface);
            for contract in served {
                let verdict = case.judge(contract);
                prop_assert_eq!(verdict.standing(), Standing::Good, "{}", verdict);
            }
        }
    }
}
