//! Binding and giving back, on a simulated kernel that answers with the real one's numbers.

use std::fs;
use std::time::Duration;

use node_sim::{FunctionSpec, Machine, PfSpec, SimNode, WriteOutcome};
use sysfs_pci::blocking::{self, MayBlock};
use sysfs_pci::{DriverName, PciAddress, SysfsRoot, Write};
use tempfile::TempDir;
use vfio_host::bind::{
    BINDS, BindError, BindPlan, BindRecord, BindRules, Binder, Claim, Outcome, ReleasePlan, Undo,
};
use vfio_host::worker::{Hands, HandsError};
use vfio_host::{Host, StateDir, VfioDrivers};

const EROFS: i32 = 30;
const EINVAL: i32 = 22;
const EAGAIN: i32 = 11;

fn name(text: &str) -> DriverName {
    text.parse().unwrap()
}

/// A network card with two virtual functions, and a place for records.
struct Scene {
    node: SimNode,
    state: StateDir,
    host: Host,
    _dirs: (TempDir, TempDir),
}

/// Gives commands to the simulated kernel, until it is killed.
struct SimHands<'a> {
    scene: &'a Scene,
    /// How many commands it gives before it is killed, and whether the last one still arrives.
    life: Option<(usize, bool)>,
}

/// What can be seen of a function from outside.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    driver: Option<String>,
    alone: Option<DriverName>,
}

impl Scene {
    fn new(vf_driver: Option<&str>) -> Self {
        let pf = FunctionSpec::new(
            "0000:17:00.0".parse().unwrap(),
            "8086:1521".parse().unwrap(),
        );
        let mut pf = PfSpec::new(pf.driver("igb"), "8086:1520".parse().unwrap(), 2);
        if let Some(driver) = vf_driver {
            pf = pf.vf_driver(driver);
        }
        let tree = node_sim::scratch().unwrap();
        let node = Machine::new().pf(pf).write(tree.path()).unwrap();
        let records = tempfile::tempdir().unwrap();
        Self {
            host: Host::new(node.sysfs(), node.dev()),
            state: StateDir::of_boot(records.path(), "this").unwrap(),
            node,
            _dirs: (tree, records),
        }
    }

    fn vf(&self) -> PciAddress {
        self.node.vfs()[0]
    }

    fn hands(&self) -> SimHands<'_> {
        SimHands {
            scene: self,
            life: None,
        }
    }

    fn binder(&self) -> Binder<'_> {
        Binder {
            host: &self.host,
            state: &self.state,
            patience: Duration::ZERO,
        }
    }

    fn rules() -> BindRules {
        BindRules {
            driver: name("vfio-pci"),
            vfio: VfioDrivers::default(),
            ids: ["8086:1520".parse().unwrap()].into(),
            denylisted: [].into(),
            take_from: [name("igbvf")].into(),
        }
    }

    fn plan(&self) -> BindPlan {
        let rules = Self::rules();
        let look = self.host.look(self.vf()).unwrap();
        BindPlan::new(&look, self.host.facts(&rules.driver), &rules, &Claim::None).unwrap()
    }

    fn bind(&self, hands: &mut dyn Hands) -> Result<Outcome, BindError> {
        self.binder().bind(hands, &self.plan())
    }

    fn release(&self, hands: &mut dyn Hands) -> Result<Outcome, BindError> {
        let record = self.record().unwrap();
        let look = self.host.look(self.vf()).unwrap();
        let plan = ReleasePlan::new(&look, record, &Claim::None).unwrap();
        self.binder().release(hands, &plan)
    }

    fn record(&self) -> Option<BindRecord> {
        self.state.read(BINDS, self.vf()).unwrap()
    }

    fn seen(&self) -> Seen {
        let sysfs = SysfsRoot::new(self.node.sysfs());
        Seen {
            driver: self.node.driver_of(self.vf()),
            alone: blocking::driver_override(&MayBlock::acknowledged(), &sysfs, self.vf()).unwrap(),
        }
    }

    fn override_path(&self) -> String {
        format!("bus/pci/devices/{}/driver_override", self.vf())
    }
}

impl Hands for SimHands<'_> {
    fn write(&mut self, command: &Write) -> Result<(), HandsError> {
        let lost = || HandsError::Lost {
            command: command.to_string(),
        };
        let mut dies = false;
        if let Some((left, arrives)) = &mut self.life {
            let Some(less) = left.checked_sub(1) else {
                return Err(lost());
            };
            *left = less;
            dies = less == 0;
            if dies && !*arrives {
                return Err(lost());
            }
        }
        let line = format!("{}\n", command.value());
        let written = self
            .scene
            .node
            .try_write_as_kernel(command.path(), line.as_bytes());
        let root = SysfsRoot::new(self.scene.node.sysfs());
        match written {
            _ if dies => Err(lost()),
            Ok(()) => Ok(()),
            Err(error) => Err(match error.raw_os_error() {
                Some(errno) => command.refused(&root, errno).into(),
                None => HandsError::Stuck {
                    command: command.to_string(),
                    waited: Duration::ZERO,
                },
            }),
        }
    }

    fn driver_override(&mut self, address: PciAddress) -> Result<Option<DriverName>, HandsError> {
        let root = SysfsRoot::new(self.scene.node.sysfs());
        Ok(blocking::driver_override(
            &MayBlock::acknowledged(),
            &root,
            address,
        )?)
    }

    fn num_vfs(&mut self, address: PciAddress) -> Result<u16, HandsError> {
        let root = SysfsRoot::new(self.scene.node.sysfs());
        Ok(blocking::num_vfs(
            &MayBlock::acknowledged(),
            &root,
            address,
        )?)
    }
}

#[test]
fn a_bound_function_is_recorded_and_bound_once() {
    for found in [None, Some("igbvf")] {
        let scene = Scene::new(found);
        assert_eq!(scene.bind(&mut scene.hands()).unwrap(), Outcome::Changed);
        let bound = Seen {
            driver: Some("vfio-pci".to_owned()),
            alone: Some(name("vfio-pci")),
        };
        assert_eq!(scene.seen(), bound);
        let group = scene.node.group_of(scene.vf()).unwrap();
        assert!(scene.node.dev().join(format!("vfio/{group}")).exists());
        let record = scene.record().unwrap();
        assert_eq!(
            (record.found_driver, record.found_override),
            (found.map(name), None)
        );
        assert_eq!(
            scene.node.writes().len(),
            if found.is_some() { 3 } else { 2 }
        );

        scene.node.forget_writes();
        assert_eq!(scene.bind(&mut scene.hands()).unwrap(), Outcome::Unchanged);
        assert_eq!(scene.node.writes(), []);
    }
}

#[test]
fn what_is_given_back_is_as_it_was_found() {
    for found in [None, Some("igbvf")] {
        let scene = Scene::new(found);
        let before = scene.seen();
        scene.bind(&mut scene.hands()).unwrap();
        assert_eq!(scene.release(&mut scene.hands()).unwrap(), Outcome::Changed);
        assert_eq!(scene.seen(), before);
        assert_eq!(scene.record(), None);
    }
}

#[test]
fn an_override_of_somebody_else_comes_back() {
    let scene = Scene::new(None);
    scene
        .node
        .write_as_kernel(scene.override_path(), b"pci-stub\n")
        .unwrap();
    scene.bind(&mut scene.hands()).unwrap();
    scene.release(&mut scene.hands()).unwrap();
    assert_eq!(
        scene.seen(),
        Seen {
            driver: None,
            alone: Some(name("pci-stub"))
        }
    );
}

#[test]
fn killed_at_any_command_it_goes_on_from_there() {
    for found in [None, Some("igbvf")] {
        for arrives in [false, true] {
            for commands in 1..=3 {
                let scene = Scene::new(found);
                let before = scene.seen();
                let mut killed = SimHands {
                    scene: &scene,
                    life: Some((commands, arrives)),
                };
                let _killed_or_done = scene.bind(&mut killed);
                let what = format!("{found:?}, killed at {commands}, arrives: {arrives}");

                let go_on = scene.bind(&mut scene.hands());
                go_on.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(scene.seen().driver.as_deref(), Some("vfio-pci"), "{what}");
                scene.release(&mut scene.hands()).unwrap();
                assert_eq!(scene.seen(), before, "{what}");
                assert_eq!(scene.record(), None, "{what}");
            }
        }
    }
}

#[test]
fn killed_while_it_gives_back_it_can_give_back_again() {
    for found in [None, Some("igbvf")] {
        for arrives in [false, true] {
            for commands in 1..=3 {
                let scene = Scene::new(found);
                let before = scene.seen();
                scene.bind(&mut scene.hands()).unwrap();
                let mut killed = SimHands {
                    scene: &scene,
                    life: Some((commands, arrives)),
                };
                if scene.release(&mut killed).is_err() {
                    scene.release(&mut scene.hands()).unwrap();
                }
                assert_eq!(scene.seen(), before, "{found:?} {commands} {arrives}");
                assert_eq!(scene.record(), None);
            }
        }
    }
}

#[test]
fn a_refused_bind_is_undone() {
    for found in [None, Some("igbvf")] {
        let scene = Scene::new(found);
        let before = scene.seen();
        scene
            .node
            .fail_next_write("bus/pci/drivers/vfio-pci/bind", EINVAL)
            .unwrap();
        let error = scene.bind(&mut scene.hands()).unwrap_err();
        assert!(matches!(error.undo, Undo::Done), "{error}");
        assert!(
            error.to_string().contains("denylist, or in no IOMMU group"),
            "{error}"
        );
        assert!(
            error.to_string().ends_with("what was changed is undone"),
            "{error}"
        );
        assert_eq!(scene.seen(), before);
        assert_eq!(scene.record(), None);
    }
}

#[test]
fn a_deferred_probe_is_tried_again() {
    let scene = Scene::new(None);
    scene
        .node
        .fail_next_write("bus/pci/drivers/vfio-pci/bind", EAGAIN)
        .unwrap();
    scene.bind(&mut scene.hands()).unwrap();
}

#[test]
fn a_driver_that_is_faster_is_asked_to_let_go() {
    let scene = Scene::new(Some("igbvf"));
    scene.node.grab_after_unbind(scene.vf(), "igbvf").unwrap();
    scene.bind(&mut scene.hands()).unwrap();
    assert_eq!(scene.seen().driver.as_deref(), Some("vfio-pci"));

    let scene = Scene::new(Some("igbvf"));
    scene
        .node
        .grab_after_unbind(scene.vf(), "uio_pci_generic")
        .unwrap();
    let error = scene.bind(&mut scene.hands()).unwrap_err();
    assert!(
        error.to_string().contains("`uio_pci_generic` takes it"),
        "{error}"
    );
    assert!(matches!(error.undo, Undo::Failed(_)), "{error}");
    assert!(scene.record().is_some(), "it can be given back later");
}

#[test]
fn where_the_override_cannot_be_written_a_plain_bind_is_tried() {
    // Somebody has set the override, as an init container does.
    let scene = Scene::new(None);
    scene
        .node
        .write_as_kernel(scene.override_path(), b"vfio-pci\n")
        .unwrap();
    scene
        .node
        .fail_next_write(scene.override_path(), EROFS)
        .unwrap();
    scene.bind(&mut scene.hands()).unwrap();

    // Nobody has: the driver does not take it, and the error names the mount.
    let scene = Scene::new(Some("igbvf"));
    let before = scene.seen();
    scene
        .node
        .fail_next_write(scene.override_path(), EROFS)
        .unwrap();
    let error = scene.bind(&mut scene.hands()).unwrap_err();
    assert!(
        error.to_string().contains("mount the host's whole /sys"),
        "{error}"
    );
    assert_eq!(scene.seen(), before);
    assert_eq!(scene.record(), None);
}

#[test]
fn an_override_that_cannot_be_written_is_not_missed_by_a_bound_function() {
    let scene = Scene::new(Some("vfio-pci"));
    scene
        .node
        .write_as_kernel(scene.override_path(), b"\n")
        .unwrap();
    scene
        .node
        .fail_next_write(scene.override_path(), EROFS)
        .unwrap();
    assert_eq!(scene.bind(&mut scene.hands()).unwrap(), Outcome::Unchanged);
    assert_eq!(scene.record(), None);
    // Where it can be, it is, so that the function survives another probe.
    assert_eq!(scene.bind(&mut scene.hands()).unwrap(), Outcome::Changed);
    assert_eq!(scene.seen().alone, Some(name("vfio-pci")));
    scene.release(&mut scene.hands()).unwrap();
    assert_eq!(
        scene.seen(),
        Seen {
            driver: Some("vfio-pci".to_owned()),
            alone: None
        }
    );
}

#[test]
fn a_function_that_is_opened_meanwhile_is_left_to_the_kernel() {
    let scene = Scene::new(None);
    scene.bind(&mut scene.hands()).unwrap();
    let record = scene.record().unwrap();
    let look = scene.host.look(scene.vf()).unwrap();
    let plan = ReleasePlan::new(&look, record, &Claim::None).unwrap();
    scene.node.hold(scene.vf()).unwrap();
    let error = scene
        .binder()
        .release(&mut scene.hands(), &plan)
        .unwrap_err();
    assert!(
        error.is_stuck() && matches!(error.undo, Undo::NotTried),
        "{error}"
    );
    assert!(scene.record().is_some());

    // Nothing is planned for it while the unbind waits.
    let rules = Scene::rules();
    let look = scene.host.look(scene.vf()).unwrap();
    let facts = scene.host.facts(&rules.driver);
    let refusal = BindPlan::new(&look, facts, &rules, &Claim::None).unwrap_err();
    assert_eq!(refusal.code(), "unbinding");

    scene.node.release(scene.vf()).unwrap();
    scene.release(&mut scene.hands()).unwrap();
    assert_eq!(
        scene.seen(),
        Seen {
            driver: None,
            alone: None
        }
    );
}

#[test]
fn a_function_that_is_gone_leaves_no_record() {
    let scene = Scene::new(None);
    let plan = scene.plan();
    let vf = scene.vf();
    scene.node.unplug(vf).unwrap();
    let error = scene.binder().bind(&mut scene.hands(), &plan).unwrap_err();
    assert!(error.is_gone(), "{error}");
    assert_eq!(scene.state.addresses(BINDS).unwrap(), []);
}

#[test]
fn nothing_is_changed_that_cannot_be_recorded() {
    let scene = Scene::new(None);
    fs::write(scene.state.path().join(BINDS), "in the way").unwrap();
    let error = scene.bind(&mut scene.hands()).unwrap_err();
    assert!(error.to_string().contains("cannot be recorded"), "{error}");
    assert_eq!(scene.node.writes(), []);
}

#[test]
fn each_command_is_accepted_the_first_time() {
    let scene = Scene::new(Some("igbvf"));
    scene.bind(&mut scene.hands()).unwrap();
    scene.release(&mut scene.hands()).unwrap();
    for record in scene.node.writes() {
        assert_eq!(record.outcome, WriteOutcome::Taken, "{record:?}");
    }
}
