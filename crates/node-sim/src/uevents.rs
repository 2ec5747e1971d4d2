//! Real events of the kernel, on demand.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};
use sysfs_pci::PciAddress;

/// `NLM_F_REQUEST`, without which the kernel ignores a message.
const REQUEST: u16 = 1;

/// The lowest message type that is not reserved (`NLMSG_MIN_TYPE`).
const MESSAGE_TYPE: u16 = 0x10;

/// Makes the real kernel send events, as its own, to everybody who listens in this network namespace.
///
/// That takes `CAP_SYS_ADMIN` over the namespace, which an ordinary user has in a user and network namespace of its own
/// (`unshare --user --map-root-user --net`). There a netlink message to the kernel makes it broadcast an event
/// (`uevent_net_rcv` in `lib/kobject_uevent.c`), with a number of its own and itself as the sender. The events of the real
/// machine do not come there.
#[derive(Debug)]
pub struct Uevents(OwnedFd);

impl Uevents {
    /// Opens a socket to the kernel.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(KOBJECT_UEVENT),
        );
        Ok(Self(socket?))
    }

    /// Makes the kernel say that something happened to a PCI function.
    ///
    /// # Errors
    ///
    /// What the kernel says; `EPERM` outside of a namespace of one's own.
    pub fn pci(&self, action: &str, function: PciAddress) -> io::Result<()> {
        let path = format!("/devices/pci0000:00/{function}");
        let event = format!(
            "{action}@{path}\0ACTION={action}\0DEVPATH={path}\0SUBSYSTEM=pci\0PCI_SLOT_NAME={function}\0"
        );
        self.through_the_kernel(event.as_bytes())
    }

    /// Makes the kernel send these bytes as an event. It appends `SEQNUM` itself.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn through_the_kernel(&self, event: &[u8]) -> io::Result<()> {
        let length = u32::try_from(16 + event.len()).map_err(io::Error::other)?;
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(MESSAGE_TYPE.to_ne_bytes());
        message.extend(REQUEST.to_ne_bytes());
        message.extend([0; 8]); // sequence number and port
        message.extend(event);
        self.send(&message, 0)
    }

    /// Sends bytes straight to the listeners, as a program does that plays the kernel.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn forged(&self, event: &[u8]) -> io::Result<()> {
        self.send(event, 1)
    }

    fn send(&self, bytes: &[u8], groups: u32) -> io::Result<()> {
        let to = SocketAddrNetlink::new(0, groups);
        sendto(&self.0, bytes, SendFlags::empty(), &to)?;
        Ok(())
    }
}
