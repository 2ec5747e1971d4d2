//! Kernel hot-plug events as hints to look again.
//!
//! # What a uevent is
//!
//! When a device appears, disappears or is bound to a driver, the kernel sends a short text to every
//! listener of the netlink protocol `NETLINK_KOBJECT_UEVENT`. One datagram is one event: a header
//! `ACTION@DEVPATH`, then `KEY=VALUE` pairs, each ended by a NUL byte (`lib/kobject_uevent.c`):
//!
//! ```text
//! bind@/devices/pci0000:17/0000:17:00.1␀ACTION=bind␀DEVPATH=/devices/pci0000:17/0000:17:00.1␀
//! SUBSYSTEM=pci␀DRIVER=vfio-pci␀PCI_ID=8086:1520␀PCI_SLOT_NAME=0000:17:00.1␀SEQNUM=5003␀
//! ```
//!
//! `DEVPATH` is the device's directory below `/sys`. No privilege is needed to listen.
//! [`Uevent::parse`] reads one datagram, [`UeventSocket`] receives them.
//!
//! # A hint, never the truth
//!
//! Do not build a picture of the machine out of events. They can be lost, they arrive when the
//! change that they tell of may have been undone already, and a device's links may still be
//! missing when its `add` arrives (for an SR-IOV function `physfn` follows with a `change`). Take an
//! event as the advice to look at sysfs again, wait a moment for more of them, and look once. Look
//! from time to time without any event too.
//!
//! - **Loss**: each socket has a bounded buffer in the kernel. When it is full, events are dropped
//!   and the next receive fails once with `ENOBUFS`. [`UeventSocket::recv`] reports that as
//!   [`Received::Lost`]: look at everything.
//! - **Silence**: the kernel sends device events only to network namespaces that the initial user
//!   namespace owns. A container with its own network namespace does hear them. A container in a
//!   user namespace of its own (Kubernetes: `hostUsers: false`) opens the socket without an error
//!   and never hears of a PCI device.
//! - **No event at all**: many changes of attributes send none.
//!
//! # Two groups
//!
//! Multicast group 1 carries the kernel's events; this crate listens there. Group 2 carries what
//! `udevd` sends to its clients after its rules have run. Those datagrams have a binary header,
//! stay in `udevd`'s own network namespace, and are refused here ([`ParseError::FromUdev`]).
//!
//! A process with `CAP_NET_ADMIN` over the network namespace can send to group 1 itself. The kernel's
//! own datagrams carry the sender port 0; all others are dropped unread.
//!
//! # Example
//!
//! ```no_run
//! use uevent::{Received, UeventSocket};
//!
//! # async fn watch() -> Result<(), Box<dyn std::error::Error>> {
//! let mut socket = UeventSocket::open()?;
//! loop {
//!     match socket.recv().await? {
//!         Received::Event(event) if event.subsystem() == Some("pci") => println!("{event}"),
//!         Received::Event(_) => {}
//!         Received::Lost => println!("events were lost: look at everything"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # }
//! ```
//!
//! Not covered: the messages of `udevd`, and sending events.

#![forbid(unsafe_code)]

mod action;
mod error;
mod event;
mod socket;

pub use action::{Action, ErrorEvent};
pub use error::{OpenError, ParseError, RecvError};
pub use event::Uevent;
pub use socket::{DATAGRAM_LIMIT, RECEIVE_BUFFER, Received, UeventSocket};
