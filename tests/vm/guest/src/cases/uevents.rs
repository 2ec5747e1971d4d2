//! The kernel's own events, as `uevent` receives them.

use std::fs::write;
use std::time::Duration;

use sysfs_pci::PciAddress;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use uevent::{Action, Received, Uevent, UeventSocket};

use super::{GEN2, GEN4, cases};
use crate::guest::Guest;

cases![
    making_and_removing_vfs_is_announced,
    binding_is_announced_and_so_is_the_node,
    a_pf_that_goes_takes_its_vfs_along,
];

/// Longer than the kernel takes between an event and the next, even if it removes VFs.
const DEADLINE: Duration = Duration::from_secs(10);

/// A socket, and a runtime to wait on it.
struct Listener {
    runtime: Runtime,
    socket: UeventSocket,
}

/// An action, the subsystem, and the function or node that it is about.
type Seen = (Action, String, String);

impl Listener {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let socket = runtime.block_on(async { UeventSocket::open().unwrap() });
        Self { runtime, socket }
    }

    /// Listens until an event fits, and returns all up to that one.
    fn until(&mut self, fits: impl Fn(&Uevent) -> bool) -> Vec<Uevent> {
        let Self { runtime, socket } = self;
        let mut events = Vec::new();
        loop {
            let received = runtime.block_on(async { timeout(DEADLINE, socket.recv()).await });
            let Ok(received) = received else {
                panic!("the event has not come; these have: {events:?}");
            };
            let Received::Event(event) = received.unwrap() else {
                panic!("an event is lost or malformed after {events:?}");
            };
            let last = fits(&event);
            events.push(event);
            if last {
                return events;
            }
        }
    }
}

/// What is about one function, or about VFIO.
fn about(events: &[Uevent], function: PciAddress) -> Vec<Seen> {
    let name = function.to_string();
    let seen = |event: &Uevent| {
        let subsystem = event.subsystem().unwrap_or_default().to_owned();
        let what = match subsystem.as_str() {
            "pci" => event.pci_slot_name().filter(|slot| *slot == name)?,
            "vfio" => event.dev_name()?,
            "vfio-dev" => event.devpath().rsplit('/').next()?,
            _ => return None,
        };
        Some((event.action().clone(), subsystem, what.to_owned()))
    };
    events.iter().filter_map(seen).collect()
}

fn pci(action: Action, function: PciAddress) -> Seen {
    (action, "pci".to_owned(), function.to_string())
}

fn is(event: &Uevent, action: &Action, function: PciAddress) -> bool {
    event.action() == action && event.pci_slot_name() == Some(&function.to_string())
}

fn making_and_removing_vfs_is_announced(guest: &Guest) {
    if !guest.vfs(GEN2).is_empty() {
        guest.remove_vfs(GEN2);
    }
    let mut listener = Listener::new();
    let vfs = guest.make_vfs(GEN2);
    // The one event that says that all are there.
    let events = listener.until(|event| is(event, &Action::Change, GEN2));
    for vf in &vfs {
        let seen = about(&events, *vf);
        let expected = [Action::Add, Action::Bind, Action::Change].map(|action| pci(action, *vf));
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(
            expected.iter().all(|event| seen.contains(event)),
            "{seen:?}"
        );
        assert_eq!(seen[0], expected[0]);
    }
    let bound = events
        .iter()
        .find(|event| is(event, &Action::Bind, vfs[0]))
        .unwrap();
    assert_eq!(bound.driver(), Some("c6xxvf"));
    assert_eq!(bound.pci_id(), Some((0x8086, 0x37c9)));
    assert!(!bound.is_synthetic());

    guest.remove_vfs(GEN2);
    let events = listener.until(|event| is(event, &Action::Remove, vfs[15]));
    for vf in vfs {
        let expected = [Action::Unbind, Action::Remove].map(|action| pci(action, vf));
        assert_eq!(about(&events, vf), expected);
    }
}

fn binding_is_announced_and_so_is_the_node(guest: &Guest) {
    let vf = guest.make_vfs(GEN4)[15];
    assert_eq!(sysfs_pci::driver(&guest.host.sysfs, vf), Ok(None));
    let group = sysfs_pci::iommu_group(&guest.host.sysfs, vf)
        .unwrap()
        .unwrap();
    let mut listener = Listener::new();
    guest.write(vf, "driver_override", "vfio-pci\n").unwrap();
    write("/sys/bus/pci/drivers/vfio-pci/bind", vf.to_string()).unwrap();
    let seen = about(&listener.until(|event| is(event, &Action::Bind, vf)), vf);
    let (node, device) = (format!("vfio/{group}"), seen[1].2.clone());
    assert_eq!(
        seen,
        [
            (Action::Add, "vfio".to_owned(), node.clone()),
            (Action::Add, "vfio-dev".to_owned(), device.clone()),
            pci(Action::Bind, vf),
        ]
    );
    write("/sys/bus/pci/drivers/vfio-pci/unbind", vf.to_string()).unwrap();
    guest.write(vf, "driver_override", "\n").unwrap();
    let seen = about(&listener.until(|event| is(event, &Action::Unbind, vf)), vf);
    assert_eq!(
        seen,
        [
            (Action::Remove, "vfio-dev".to_owned(), device),
            (Action::Remove, "vfio".to_owned(), node),
            pci(Action::Unbind, vf),
        ]
    );
}

fn a_pf_that_goes_takes_its_vfs_along(guest: &Guest) {
    let vfs = guest.make_vfs(GEN2);
    let mut listener = Listener::new();
    guest.write(GEN2, "remove", "1").unwrap();
    let events = listener.until(|event| is(event, &Action::Remove, GEN2));
    for vf in vfs {
        assert!(
            about(&events, vf).contains(&pci(Action::Remove, vf)),
            "{vf}"
        );
    }
    assert!(about(&events, GEN2).contains(&pci(Action::Unbind, GEN2)));
    write("/sys/bus/pci/rescan", "1").unwrap();
    let events = listener.until(|event| is(event, &Action::Bind, GEN2));
    assert!(about(&events, GEN2).contains(&pci(Action::Add, GEN2)));
    assert_eq!(guest.vfs(GEN2), []);
}
