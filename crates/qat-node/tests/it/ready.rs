//! Before a container starts, and how its VFs reach it.

use std::fs;
use std::sync::Arc;

use device_plugin::pods::{Holder, Holdings, Pod, PodView, Source};
use device_plugin::{AllocateError, ContainerEdits, DeviceId, DevicePlugin as _};
use node_sim::{CdevNodes, Change, Machine, Profile};
use passthrough::VfioInterface;
use qat_node::pools::{CdiMode, PoolConfig, PoolRule, PoolSettings};
use qat_node::{CdiFiles, Ledger, NodeState, PoolBackend};
use serde_json::Value;
use sysfs_pci::PciAddress;
use tokio::time::Instant;

use crate::allocate::{backend, backend_with};
use crate::machine::{Site, judged};

fn id(address: PciAddress) -> DeviceId {
    address.to_string().parse().unwrap()
}

fn sentence<T>(result: Result<T, AllocateError>) -> String {
    match result {
        Err(AllocateError::Refused { reason }) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("not refused"),
    }
}

/// The paths of an answer's nodes, without `/dev/vfio/`.
fn nodes(edits: &ContainerEdits) -> Vec<String> {
    let paths = edits.devices.iter().map(|node| {
        let path = node.container_path.strip_prefix("/dev/vfio").unwrap();
        path.to_str().unwrap().to_owned()
    });
    paths.collect()
}

fn with(interface: VfioInterface) -> PoolSettings {
    PoolSettings {
        interface,
        ..PoolSettings::default()
    }
}

/// A machine that has a character device for each VF, or shows one in sysfs only.
fn machine(cdev: CdevNodes) -> Machine {
    Machine::profile(Profile::Xeon4xxx).with(Change::Cdev(cdev))
}

#[tokio::test]
async fn a_container_that_starts_again_is_let_through_while_its_vf_is_open() {
    let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
    let backend = backend(&mut site);
    assert!(backend.options().pre_start);
    let vf = site.node.vfs()[0];
    backend.allocate(&[id(vf)]).await.unwrap();
    site.node.set_enable(vf, 1).unwrap();
    backend.pre_start(&[id(vf)]).await.unwrap();
    // Nothing was remembered of one that an earlier life of the plugin gave.
    backend.pre_start(&[id(site.node.vfs()[1])]).await.unwrap();
}

/// What happens to a VF after it was given.
type Deed = fn(&Site, PciAddress);

#[tokio::test]
async fn what_a_container_could_not_use_stops_it_with_a_sentence() {
    let changes: [(Deed, &str); 5] = [
        (
            |site, vf| site.node.unplug(vf).unwrap(),
            "no longer on this node",
        ),
        (|site, vf| site.node.unbind(vf).unwrap(), "no driver"),
        (
            |site, vf| {
                let group = site.node.group_of(vf).unwrap();
                site.node.remove_node(group).unwrap();
            },
            "/dev/vfio/",
        ),
        (
            |site, _| fs::remove_file(site.node.dev().join("vfio/vfio")).unwrap(),
            "VFIO is not usable on this node",
        ),
        (
            |site, vf| {
                site.node.unbind(vf).unwrap();
                site.node.bind(vf, "4xxxvf").unwrap();
            },
            "4xxxvf",
        ),
    ];
    for (change, part) in changes {
        let mut site = Site::new(Machine::profile(Profile::Xeon4xxx));
        let backend = backend(&mut site);
        let vf = site.node.vfs()[0];
        backend.allocate(&[id(vf)]).await.unwrap();
        change(&site, vf);
        let reason = sentence(backend.pre_start(&[id(vf)]).await);
        assert!(reason.contains(part), "{reason}");
    }
}

/// Binds two VFs anew, so that each has the number of the other: numbers are given in the order of binding.
fn swap(site: &Site, first: PciAddress, second: PciAddress) {
    for vf in [first, second] {
        site.node.unbind(vf).unwrap();
    }
    for vf in [second, first] {
        site.node.bind(vf, "vfio-pci").unwrap();
    }
}

/// The kubelet gives a container its old answer again. A VF that was bound anew has another character device.
#[tokio::test]
async fn a_container_with_the_nodes_of_another_time_is_stopped() {
    let mut site = Site::new(machine(CdevNodes::Present));
    let backend = backend_with(&mut site, with(VfioInterface::Cdev), Arc::default());
    let (vf, other) = (site.node.vfs()[0], site.node.vfs()[1]);
    let given = nodes(&backend.allocate(&[id(vf)]).await.unwrap());
    backend.pre_start(&[id(vf)]).await.unwrap();
    swap(&site, vf, other);
    let reason = sentence(backend.pre_start(&[id(vf)]).await);
    assert!(
        reason.contains("`/dev/vfio/devices/vfio0`")
            && reason.contains("`/dev/vfio/devices/vfio1` now"),
        "{reason}"
    );
    let now = nodes(&backend.allocate(&[id(vf)]).await.unwrap());
    assert_ne!(given, now);
    backend.pre_start(&[id(vf)]).await.unwrap();
}

/// A container keeps the nodes of the interface that its pool had then.
#[tokio::test]
async fn container_starts_again_whatever_the_interface_is_now() {
    let interfaces = [
        VfioInterface::Group,
        VfioInterface::Cdev,
        VfioInterface::Both,
        VfioInterface::None,
    ];
    for then in interfaces {
        for now in interfaces {
            let mut site = Site::new(machine(CdevNodes::Present));
            let before = backend_with(&mut site, with(then), Arc::default());
            let vf = site.node.vfs()[0];
            before.allocate(&[id(vf)]).await.unwrap();
            let mut after = backend_with(&mut site, with(now), Arc::default());
            after.given = Arc::clone(&before.given);
            let ready = after.pre_start(&[id(vf)]).await;
            assert!(ready.is_ok(), "{then} then, {now} now: {ready:?}");
            swap(&site, vf, site.node.vfs()[1]);
            let stale = matches!(then, VfioInterface::Cdev | VfioInterface::Both);
            assert_eq!(
                after.pre_start(&[id(vf)]).await.is_err(),
                stale,
                "{then} then, {now} now"
            );
        }
    }
}

#[tokio::test]
async fn each_interface_gives_its_nodes() {
    for (interface, cdev, expected) in [
        (VfioInterface::Group, CdevNodes::Present, vec!["vfio", "G"]),
        (
            VfioInterface::Cdev,
            CdevNodes::Present,
            vec!["vfio", "devices/vfio0"],
        ),
        (
            VfioInterface::Both,
            CdevNodes::Present,
            vec!["vfio", "G", "devices/vfio0"],
        ),
        (VfioInterface::None, CdevNodes::Present, vec![]),
        // What sysfs shows is not believed.
        (VfioInterface::Cdev, CdevNodes::SysfsOnly, vec!["vfio", "G"]),
        (VfioInterface::Both, CdevNodes::SysfsOnly, vec!["vfio", "G"]),
        (VfioInterface::Both, CdevNodes::NotBuilt, vec!["vfio", "G"]),
    ] {
        let mut site = Site::new(machine(cdev));
        let backend = backend_with(&mut site, with(interface), Arc::default());
        let vf = site.node.vfs()[0];
        let group = site.node.group_of(vf).unwrap().to_string();
        let edits = backend.allocate(&[id(vf)]).await.unwrap();
        let expected: Vec<String> = expected
            .iter()
            .map(|node| node.replace('G', &group))
            .collect();
        assert_eq!(nodes(&edits), expected, "{interface} {cdev:?}");
        assert_eq!(edits.envs["QAT0"], vf.to_string());
        backend.pre_start(&[id(vf)]).await.unwrap();
    }
}

/// With character devices or no nodes at all, the control node is welcome and not needed.
#[tokio::test]
async fn the_control_node_is_missed_only_where_groups_are_given() {
    for (interface, missed) in [
        (VfioInterface::Group, true),
        (VfioInterface::Both, true),
        (VfioInterface::Cdev, false),
        (VfioInterface::None, false),
    ] {
        let mut site = Site::new(machine(CdevNodes::Present));
        let backend = backend_with(&mut site, with(interface), Arc::default());
        fs::remove_file(site.node.dev().join("vfio/vfio")).unwrap();
        let answer = backend.allocate(&[id(site.node.vfs()[0])]).await;
        assert_eq!(answer.is_err(), missed, "{interface}");
    }
}

/// What is known of pods, one of which has a device of each of these resources.
fn allocated(resources: &[&str]) -> Ledger {
    let mut holdings = Holdings::default();
    for resource in resources {
        let holder = Holder {
            pod: Pod::Uid("u".to_owned()),
            container: "c".to_owned(),
        };
        holdings.insert(resource, "0000:6b:00.1", holder);
    }
    let mut ledger = Ledger::default();
    ledger.learn(Arc::new(PodView {
        asked: Instant::now(),
        settled: true,
        source: Source::Kubelet,
        holdings,
    }));
    ledger
}

/// A site whose pools all have these settings, its CDI files, and what is advertised.
struct Filed {
    site: Site,
    cdi: CdiFiles,
    state: NodeState,
    ledger: Ledger,
}

impl Filed {
    fn new(cdi: CdiMode, interface: VfioInterface) -> Self {
        let mut site = Site::new(machine(CdevNodes::Present));
        let rule = PoolRule {
            cdi: Some(cdi),
            interface: Some(interface),
            ..PoolRule::default()
        };
        site.wish(|wishes| wishes.pools = Arc::new(PoolConfig::new(vec![rule]).unwrap()));
        fs::create_dir(&site.settings.roots.cdi).unwrap();
        let cdi = CdiFiles::new(&site.settings);
        let state = judged(&NodeState::default(), &site.look());
        let ledger = allocated(&[]);
        Self {
            site,
            cdi,
            state,
            ledger,
        }
    }

    /// Brings the files in line, and returns what is to be said.
    fn tend(&mut self) -> Vec<String> {
        let look = self.site.look();
        self.state = judged(&self.state, &look);
        let facts = self.cdi.tend(&look.inventory, &self.state, &self.ledger);
        facts.into_iter().map(|fact| fact.text).collect()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.site.settings.roots.cdi).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> Value {
        let text = fs::read_to_string(self.site.settings.roots.cdi.join(name)).unwrap();
        let (comment, json) = text.split_once('\n').unwrap();
        assert!(comment.starts_with("# Written by qat-plugin"));
        serde_json::from_str(json).unwrap()
    }

    fn backend(&mut self) -> PoolBackend {
        let pool = self.state.pools.keys().next().unwrap().clone();
        let settings = self.site.settings.wishes.borrow().pools.of(&pool);
        let described = self.cdi.described();
        backend_with(&mut self.site, settings, described)
    }
}

#[test]
fn a_file_names_every_vf_and_follows_its_node() {
    let mut filed = Filed::new(CdiMode::Spec, VfioInterface::Cdev);
    assert_eq!(filed.tend(), [""; 0]);
    let names = ["qat.intel.com_cy.yaml", "qat.intel.com_dc.yaml"];
    assert_eq!(filed.names(), names);
    let file = filed.read("qat.intel.com_cy.yaml");
    assert_eq!(file["kind"], "qat.intel.com/cy");
    let devices = file["devices"].as_array().unwrap();
    // Two of the four PFs.
    assert_eq!(devices.len(), filed.site.node.vfs().len() / 2);
    let vf = filed.site.node.vfs()[0];
    assert_eq!(devices[0]["name"], vf.to_string());
    let node = &devices[0]["containerEdits"]["deviceNodes"][0]["path"];
    assert_eq!(node, "/dev/vfio/devices/vfio0");
    // One that is Unhealthy and has no node is left out; the others stay.
    filed.site.node.unbind(vf).unwrap();
    filed
        .site
        .node
        .remove_node(filed.site.node.group_of(vf).unwrap())
        .unwrap();
    filed.tend();
    let file = filed.read("qat.intel.com_cy.yaml");
    assert_ne!(file["devices"][0]["name"], vf.to_string());
}

#[test]
fn files_of_pools_that_are_no_more_go_and_those_of_others_stay() {
    let mut filed = Filed::new(CdiMode::Off, VfioInterface::Group);
    let dir = filed.site.settings.roots.cdi.clone();
    let ours =
        "# Written by qat-plugin, which replaces and removes this file. Changes are lost.\n{}\n";
    fs::write(dir.join("qat.intel.com_old.yaml"), ours).unwrap();
    fs::write(dir.join("qat.intel.com_theirs.yaml"), "{}\n").unwrap();
    // Of a machine that shows nothing yet nothing is concluded.
    let look = filed.site.look();
    let none = NodeState::default();
    filed.cdi.tend(&look.inventory, &none, &filed.ledger);
    assert_eq!(filed.names().len(), 2);
    // Nor while it is not known what pods have.
    filed.ledger = Ledger::default();
    filed.tend();
    assert_eq!(filed.names().len(), 2);
    filed.ledger = allocated(&[]);
    filed.tend();
    assert_eq!(filed.names(), ["qat.intel.com_theirs.yaml"]);
}

/// The kubelet gives a container its old answer, so the names in it must resolve for as long.
#[test]
fn file_stays_while_a_pod_has_a_vf_of_its_resource() {
    let mut filed = Filed::new(CdiMode::Field, VfioInterface::Group);
    filed.tend();
    let both = ["qat.intel.com_cy.yaml", "qat.intel.com_dc.yaml"];
    assert_eq!(filed.names(), both);
    let before = filed.read(both[0]);
    filed.cdi.follow(Arc::default());
    filed.ledger = allocated(&["qat.intel.com/cy"]);
    filed.tend();
    assert_eq!(filed.names(), both[..1]);
    assert_eq!(filed.read(both[0]), before);

    // After a restart as well.
    filed.site.wish(|wishes| wishes.pools = Arc::default());
    filed.cdi = CdiFiles::new(&filed.site.settings);
    filed.tend();
    assert_eq!(filed.names(), both[..1]);
    filed.ledger = allocated(&["example.com/cy"]);
    filed.tend();
    assert_eq!(filed.names(), [""; 0]);
}

#[test]
fn a_character_device_that_is_only_in_sysfs_is_said() {
    let mut site = Site::new(machine(CdevNodes::SysfsOnly));
    let rule = PoolRule {
        interface: Some(VfioInterface::Both),
        ..PoolRule::default()
    };
    site.wish(|wishes| wishes.pools = Arc::new(PoolConfig::new(vec![rule]).unwrap()));
    let look = site.look();
    let state = judged(&NodeState::default(), &look);
    let facts = CdiFiles::new(&site.settings).tend(&look.inventory, &state, &Ledger::default());
    let texts: Vec<_> = facts.iter().map(|fact| fact.text.as_str()).collect();
    let said = "`vfio: both`, and 32 of 32 VFs have no node in /dev/vfio/devices; containers get the group's node";
    let expected = ["cy", "dc"].map(|pool| format!("qat.intel.com/{pool}: {said}"));
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn an_answer_names_what_the_file_says_or_is_none() {
    let mut filed = Filed::new(CdiMode::Field, VfioInterface::Cdev);
    let vf = filed.site.node.vfs()[0];
    let backend = filed.backend();
    assert!(sentence(backend.allocate(&[id(vf)]).await).contains("not written yet"));
    filed.tend();
    let edits = backend.allocate(&[id(vf)]).await.unwrap();
    assert_eq!(edits.cdi_devices, [format!("qat.intel.com/cy={vf}")]);
    // The file was not brought in line with a machine that changed a moment ago.
    let other = filed.site.node.vfs()[1];
    swap(&filed.site, vf, other);
    let reason = sentence(backend.allocate(&[id(vf)]).await);
    assert!(reason.contains("the CDI file is out of date"), "{reason}");
    filed.tend();
    backend.allocate(&[id(vf)]).await.unwrap();
}

#[tokio::test]
async fn where_no_file_can_be_written_the_field_is_refused_and_the_file_alone_is_not_missed() {
    for (cdi, refused) in [(CdiMode::Field, true), (CdiMode::Spec, false)] {
        let mut filed = Filed::new(cdi, VfioInterface::Group);
        fs::remove_dir(&filed.site.settings.roots.cdi).unwrap();
        let said = filed.tend();
        assert!(
            said[0].contains("the CDI file cannot be written"),
            "{said:?}"
        );
        let backend = filed.backend();
        let answer = backend.allocate(&[id(filed.site.node.vfs()[0])]).await;
        assert_eq!(answer.is_err(), refused, "{cdi}");
    }
}
