//! The kernel's own events.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, warn};
use uevent::{Received, Uevent, UeventSocket};

use super::{Heard, hint};
use crate::text::chain;

/// How long to wait before a socket that failed is opened anew.
const PAUSE: Duration = Duration::from_mins(1);

/// Hints for ever. What stands in the way is said once.
pub(super) async fn listen(heard: Arc<watch::Sender<Heard>>) {
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
        hint(&heard);
        sleep(PAUSE).await;
    }
}

async fn until_it_fails(mut socket: UeventSocket, heard: &watch::Sender<Heard>) -> String {
    loop {
        match socket.recv().await {
            Ok(Received::Event(event)) => {
                hears(heard);
                if matters(&event) {
                    debug!(%event, "a hint to look");
                    hint(heard);
                }
            }
            Ok(Received::Lost) => {
                debug!("events were lost: a hint to look");
                hint(heard);
            }
            // Not from the kernel, or not to be read.
            Ok(_) => {}
            Err(error) => return chain(&error),
        }
    }
}

/// Takes note that events arrive. Nobody is woken for it.
fn hears(heard: &watch::Sender<Heard>) {
    heard.send_if_modified(|heard| {
        heard.kernel = true;
        false
    });
}

/// Whether what happened can change what is offered. Functions that are none of ours can: one may share a group with a
/// VF.
fn matters(event: &Uevent) -> bool {
    match event.subsystem() {
        Some("pci" | "vfio" | "vfio-dev" | "uio" | "iommu") => true,
        Some("misc") => event.dev_name() == Some("vfio/vfio"),
        Some("drivers" | "module") => event.devpath().contains("vfio"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_change_an_offer_matters() {
        let event = |devpath: &str, rest: &str| {
            let text = format!("add@{devpath}\0ACTION=add\0DEVPATH={devpath}\0{rest}\0SEQNUM=7\0");
            Uevent::parse(text.as_bytes()).unwrap()
        };
        for (devpath, rest, expected) in [
            ("/devices/pci0000:6b/0000:6b:00.1", "SUBSYSTEM=pci", true),
            ("/devices/virtual/vfio/320", "SUBSYSTEM=vfio", true),
            (
                "/devices/virtual/misc/vfio",
                "SUBSYSTEM=misc\0DEVNAME=vfio/vfio",
                true,
            ),
            ("/module/vfio_pci", "SUBSYSTEM=module", true),
            ("/bus/pci/drivers/vfio-pci", "SUBSYSTEM=drivers", true),
            (
                "/devices/virtual/misc/fuse",
                "SUBSYSTEM=misc\0DEVNAME=fuse",
                false,
            ),
            ("/module/nf_tables", "SUBSYSTEM=module", false),
            ("/devices/virtual/net/veth0", "SUBSYSTEM=net", false),
        ] {
            assert_eq!(matters(&event(devpath, rest)), expected, "{devpath}");
        }
    }

    #[tokio::test]
    async fn to_hear_is_no_hint() {
        let (sender, mut receiver) = watch::channel(Heard::default());
        hears(&sender);
        assert!(receiver.borrow().kernel);
        assert!(!receiver.has_changed().unwrap());
        hint(&sender);
        receiver.changed().await.unwrap();
    }
}
