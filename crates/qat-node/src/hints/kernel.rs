//! The kernel's own events.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use qat_policy::health::Recovery;
use sysfs_pci::{IommuGroupId, PciAddress};
use tokio::time::sleep;
use tracing::{debug, info, warn};
use uevent::{ErrorEvent, Received, Uevent, UeventSocket};

use super::{Heard, Scope};
use crate::text::chain;

/// How long to wait before a socket that failed is opened anew.
const PAUSE: Duration = Duration::from_mins(1);

/// Hints for ever. What stands in the way is said once.
pub(super) async fn listen(heard: Arc<Heard>) {
    let mut said = false;
    loop {
        let why = match UeventSocket::open() {
            Ok(socket) => until_it_fails(socket, &heard).await,
            Err(error) => chain(&error),
        };
        if !said {
            said = true;
            warn!("the kernel's events cannot be heard, so changes are found by looking: {why}");
        }
        // What was missed meanwhile is to be seen.
        heard.hint(Scope::everything());
        sleep(PAUSE).await;
    }
}

async fn until_it_fails(mut socket: UeventSocket, heard: &Heard) -> String {
    loop {
        match socket.recv().await {
            Ok(Received::Event(event)) => {
                if !heard.kernel.swap(true, Ordering::Relaxed) {
                    info!("the kernel's events arrive, so it is looked at everything less often");
                }
                take(heard, &event);
            }
            Ok(Received::Lost) => {
                heard.lost.fetch_add(1, Ordering::Relaxed);
                debug!("events were lost: a hint to look at everything");
                heard.hint(Scope::everything());
            }
            // Not from the kernel, or not to be read.
            Ok(_) => {}
            Err(error) => return chain(&error),
        }
    }
}

fn take(heard: &Heard, event: &Uevent) {
    let Some(scope) = scope(event) else {
        return;
    };
    debug!(%event, "a hint to look");
    if let (Some(function), Some(recovery)) = (function(event), recovery(event)) {
        heard.recovery(function, recovery);
    }
    heard.hint(scope);
}

/// What the kernel says of a recovery from an error on the bus.
fn recovery(event: &Uevent) -> Option<Recovery> {
    Some(match event.error_event()? {
        ErrorEvent::BeginRecovery => Recovery::Begun,
        ErrorEvent::SuccessfulRecovery => Recovery::Succeeded,
        ErrorEvent::FailedRecovery => Recovery::Failed,
        _ => return None,
    })
}

/// What an event says may have changed, if that can change what is offered. Functions that are none of ours can: one may
/// share a group with a VF.
fn scope(event: &Uevent) -> Option<Scope> {
    let named = |scope: Option<Scope>| Some(scope.unwrap_or_else(Scope::everything));
    match event.subsystem() {
        Some("pci" | "vfio-dev" | "uio") => named(function(event).map(Scope::function)),
        Some("vfio") => named(group(event).map(Scope::group)),
        Some("iommu") => named(None),
        Some("misc") if event.dev_name() == Some("vfio/vfio") => named(None),
        Some("drivers" | "module") if event.devpath().contains("vfio") => named(None),
        _ => None,
    }
}

/// The function that an event is about: the last one in the path of its device.
fn function(event: &Uevent) -> Option<PciAddress> {
    let mut parts = event.devpath().rsplit('/');
    parts.find_map(|part| part.parse().ok())
}

/// The group that an event is about, by its node.
fn group(event: &Uevent) -> Option<IommuGroupId> {
    event.dev_name()?.strip_prefix("vfio/")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(devpath: &str, rest: &str) -> Uevent {
        let text = format!("add@{devpath}\0ACTION=add\0DEVPATH={devpath}\0{rest}\0SEQNUM=7\0");
        Uevent::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_can_change_an_offer_matters() {
        let vf = || Some(Scope::function("0000:6b:00.1".parse().unwrap()));
        let group = || Some(Scope::group("320".parse().unwrap()));
        let all = || Some(Scope::everything());
        for (devpath, rest, expected) in [
            ("/devices/pci0000:6b/0000:6b:00.1", "SUBSYSTEM=pci", vf()),
            (
                "/devices/pci0000:6a/0000:6a:01.0/0000:6b:00.1",
                "SUBSYSTEM=pci",
                vf(),
            ),
            (
                "/devices/pci0000:6b/0000:6b:00.1/vfio-dev/vfio3",
                "SUBSYSTEM=vfio-dev",
                vf(),
            ),
            ("/devices/what", "SUBSYSTEM=pci", all()),
            (
                "/devices/virtual/vfio/320",
                "SUBSYSTEM=vfio\0DEVNAME=vfio/320",
                group(),
            ),
            (
                "/devices/virtual/vfio/noiommu-3",
                "SUBSYSTEM=vfio\0DEVNAME=vfio/noiommu-3",
                all(),
            ),
            (
                "/devices/virtual/misc/vfio",
                "SUBSYSTEM=misc\0DEVNAME=vfio/vfio",
                all(),
            ),
            ("/module/vfio_pci", "SUBSYSTEM=module", all()),
            ("/bus/pci/drivers/vfio-pci", "SUBSYSTEM=drivers", all()),
            (
                "/devices/virtual/misc/fuse",
                "SUBSYSTEM=misc\0DEVNAME=fuse",
                None,
            ),
            ("/module/nf_tables", "SUBSYSTEM=module", None),
            ("/devices/virtual/net/veth0", "SUBSYSTEM=net", None),
        ] {
            assert_eq!(scope(&event(devpath, rest)), expected, "{devpath}");
        }
    }

    #[test]
    fn a_recovery_is_heard() {
        let heard = Heard::default();
        let pf = "/devices/pci0000:6b/0000:6b:00.0";
        for word in [
            "BEGIN_RECOVERY",
            "FAILED_RECOVERY",
            "SUCCESSFUL_RECOVERY",
            "?",
        ] {
            let rest = format!("SUBSYSTEM=pci\0ERROR_EVENT={word}\0DEVICE_ONLINE=0");
            take(&heard, &event(pf, &rest));
        }
        let news = heard.news();
        let told: Vec<Recovery> = news.recoveries.iter().map(|(_, told)| *told).collect();
        assert_eq!(
            told,
            [Recovery::Begun, Recovery::Failed, Recovery::Succeeded]
        );
        assert_eq!(heard.hints.load(Ordering::Relaxed), 4);
    }
}
