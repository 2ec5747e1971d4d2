//! The socket against the real kernel.
//!
//! The first test listens in the namespaces that the tests run in. The others need to make events,
//! which takes `CAP_SYS_ADMIN` over the network namespace. An ordinary user has that in a user and
//! network namespace of its own, so these tests start themselves again under `unshare`. There, a
//! netlink message to the kernel makes it broadcast an event as its own (`uevent_net_rcv` in
//! `lib/kobject_uevent.c`). Where the machine forbids such namespaces they say so and
//! pass.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};
use tokio::time::timeout;
use uevent::{Action, ParseError, RECEIVE_BUFFER, Received, UeventSocket};

const INSIDE: &str = "UEVENT_TEST_INSIDE_NAMESPACE";
const DEADLINE: Duration = Duration::from_secs(20);
/// `NLM_F_REQUEST`, without which the kernel ignores a message.
const REQUEST: u16 = 1;
/// The lowest message type that is not reserved (`NLMSG_MIN_TYPE`).
const MESSAGE_TYPE: u16 = 0x10;

#[tokio::test]
async fn opens_without_privilege_and_waits() {
    let mut socket = UeventSocket::open().unwrap();
    // The kernel reports twice what it granted, and grants at least its own minimum.
    assert!(
        socket.receive_buffer() > 4096,
        "{}",
        socket.receive_buffer()
    );
    assert!(socket.receive_buffer() <= 2 * RECEIVE_BUFFER);
    // A dropped `recv` leaves the socket usable.
    for _ in 0..2 {
        if let Ok(received) = timeout(Duration::from_millis(1), socket.recv()).await {
            received.unwrap();
        }
    }
}

/// Says that a test cannot run here: to whoever reads its output, and in the file named by
/// `TEST_SKIPS`.
fn skip(test: &str, reason: &str) {
    println!("skipped: {reason}");
    if let Some(path) = env::var_os("TEST_SKIPS") {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        // One write, so that lines of several processes stay whole.
        file.write_all(format!("uevent {test}: {reason}\n").as_bytes())
            .unwrap();
    }
}

/// Runs one of the ignored tests below in namespaces of its own.
fn inside(test: &str) {
    let unshare = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "--", program]);
        command
    };
    if !unshare("true")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        skip(test, "no user and network namespaces of one's own here");
        return;
    }
    let myself = env::current_exe().unwrap();
    let output = unshare(myself.to_str().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}\n{stderr}"
    );
}

/// Whether this process was started by [`inside`]; else the test has nothing to do.
fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

struct Sender(OwnedFd);

impl Sender {
    fn new() -> Self {
        let kind = SocketType::DGRAM;
        let fd = socket_with(
            AddressFamily::NETLINK,
            kind,
            SocketFlags::CLOEXEC,
            Some(KOBJECT_UEVENT),
        );
        Self(fd.unwrap())
    }

    /// Makes the kernel broadcast an event. It appends `SEQNUM` itself.
    fn through_the_kernel(&self, event: &[u8]) {
        let length = 16 + event.len();
        let mut message = u32::try_from(length).unwrap().to_ne_bytes().to_vec();
        message.extend(MESSAGE_TYPE.to_ne_bytes());
        message.extend(REQUEST.to_ne_bytes());
        message.extend([0; 8]); // sequence number and port
        message.extend(event);
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.0, &message, SendFlags::empty(), &kernel).unwrap();
    }

    /// Sends straight to the listeners, as if it were the kernel.
    fn forged(&self, event: &[u8]) {
        let listeners = SocketAddrNetlink::new(0, 1);
        sendto(&self.0, event, SendFlags::empty(), &listeners).unwrap();
    }
}

async fn next(socket: &mut UeventSocket) -> Received {
    timeout(DEADLINE, socket.recv())
        .await
        .expect("an event in time")
        .unwrap()
}

#[test]
fn events_arrive_and_forged_ones_do_not() {
    inside("socket::events_inside");
}

#[tokio::test]
#[ignore = "started by `events_arrive_and_forged_ones_do_not`"]
async fn events_inside() {
    if !is_inside() {
        return;
    }
    let mut socket = UeventSocket::open().unwrap();
    let sender = Sender::new();
    sender.forged(b"remove@/devices/forged\0ACTION=remove\0SUBSYSTEM=pci\0");
    sender.through_the_kernel(b"bind@/devices/pci0000:17/0000:17:00.1\0SUBSYSTEM=pci\0");
    sender.through_the_kernel(b"no header\0");
    sender.through_the_kernel(b"change@/devices/pci0000:17/0000:17:00.0\0SUBSYSTEM=pci\0");

    let Received::Event(bind) = next(&mut socket).await else {
        panic!("an event")
    };
    assert_eq!(bind.action(), &Action::Bind);
    assert_eq!(bind.devpath(), "/devices/pci0000:17/0000:17:00.1");
    let first = bind.seqnum().expect("the kernel's number");
    assert!(matches!(
        next(&mut socket).await,
        Received::Malformed(ParseError::Header { .. })
    ));
    let Received::Event(change) = next(&mut socket).await else {
        panic!("an event")
    };
    assert_eq!(change.action(), &Action::Change);
    assert!(change.seqnum() > Some(first));
}

#[test]
fn an_overrun_is_told_once_and_the_socket_lives_on() {
    inside("socket::overrun_inside");
}

#[tokio::test]
#[ignore = "started by `an_overrun_is_told_once_and_the_socket_lives_on`"]
async fn overrun_inside() {
    if !is_inside() {
        return;
    }
    let mut socket = UeventSocket::open().unwrap();
    let sender = Sender::new();
    // Each event occupies more than its own bytes, so this is more than the buffer holds.
    let mut event = b"change@/devices/x\0SUBSYSTEM=pci\0FILL=".to_vec();
    event.resize(2000, b'x');
    event.push(0);
    let sent = socket.receive_buffer() / event.len() + 1;
    for _ in 0..sent {
        sender.through_the_kernel(&event);
    }
    let mut events = 0;
    let mut losses = 0;
    // The kernel broadcasts before `sendto` returns, so all there is to read is there already.
    while let Ok(received) = timeout(Duration::from_millis(500), socket.recv()).await {
        match received.unwrap() {
            Received::Event(_) => events += 1,
            Received::Lost => losses += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(losses, 1);
    assert!(events > 0 && events < sent, "{events} of {sent}");
    sender.through_the_kernel(b"add@/devices/after\0");
    let Received::Event(after) = next(&mut socket).await else {
        panic!("an event")
    };
    assert_eq!(after.devpath(), "/devices/after");
}
