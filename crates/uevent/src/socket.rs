//! The netlink socket that receives the kernel's events.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::sockopt::{
    set_socket_recv_buffer_size, set_socket_recv_buffer_size_force, socket_recv_buffer_size,
};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrAny, SocketFlags, SocketType, bind, recvfrom, socket_with,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::{OpenError, ParseError, RecvError, Uevent};

/// Bytes of a datagram that are read at most. The kernel's own end at about 2048 bytes of keys plus
/// the header; `libudev` reads 8192 too.
pub const DATAGRAM_LIMIT: usize = 8192;

/// Receive buffer that is asked for, in bytes: 1 MiB.
///
/// An event occupies 2 to 4 KiB of it, bookkeeping included. Making 64 virtual functions sends
/// some 200 events at once.
pub const RECEIVE_BUFFER: usize = 1 << 20;

/// The multicast group of the kernel's own events, as a bit mask.
const KERNEL_GROUP: u32 = 1;
/// The port number that the kernel sends from.
const KERNEL_PORT: u32 = 0;

/// What came out of the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// One event.
    Event(Uevent),
    /// Events were dropped because they were not read fast enough (`ENOBUFS`). Nothing is known
    /// about them, so look at everything. Events that were still in the buffer follow.
    Lost,
    /// The kernel sent something that is not understood. Something happened: look again.
    Malformed(ParseError),
}

/// Receives the kernel's events.
///
/// Events that the kernel sent before [`open`](Self::open) returned are not seen. So open first,
/// then look at the machine for the first time.
#[derive(Debug)]
pub struct UeventSocket {
    fd: AsyncFd<OwnedFd>,
    buffer: Box<[u8]>,
    receive_buffer: usize,
}

impl UeventSocket {
    /// Opens a socket and joins the kernel's multicast group. No privilege is needed.
    ///
    /// It asks for a receive buffer of [`RECEIVE_BUFFER`] bytes: with `SO_RCVBUFFORCE`, or where
    /// that needs a capability that is missing, with `SO_RCVBUF`, which the kernel cuts to
    /// `net.core.rmem_max` without a word. [`receive_buffer`](Self::receive_buffer) says what came
    /// of it.
    ///
    /// # Errors
    ///
    /// Each step has its variant of [`OpenError`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime that has I/O enabled, as tokio's own sockets do.
    pub fn open() -> Result<Self, OpenError> {
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(KOBJECT_UEVENT),
        )
        .map_err(|errno| OpenError::Socket {
            source: errno.into(),
        })?;
        let receive_buffer = enlarge(&fd).map_err(|source| OpenError::ReceiveBuffer {
            bytes: RECEIVE_BUFFER,
            source,
        })?;
        bind(&fd, &SocketAddrNetlink::new(KERNEL_PORT, KERNEL_GROUP)).map_err(|errno| {
            OpenError::Join {
                source: errno.into(),
            }
        })?;
        let fd = register(fd).map_err(|source| OpenError::Register { source })?;
        Ok(Self {
            fd,
            buffer: vec![0; DATAGRAM_LIMIT].into_boxed_slice(),
            receive_buffer,
        })
    }

    /// The receive buffer that the kernel granted, in bytes. It reports twice what was asked for,
    /// because its own bookkeeping counts against the limit (`man 7 socket`, `SO_RCVBUF`).
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Waits for the next event. Datagrams that do not come from the kernel are dropped.
    ///
    /// Cancel safe: nothing is lost when the future is dropped, so it can stand in `select!`.
    ///
    /// # Errors
    ///
    /// [`RecvError`] where the socket is broken. A full buffer is none: that is
    /// [`Received::Lost`].
    pub async fn recv(&mut self) -> Result<Received, RecvError> {
        loop {
            let mut ready = self
                .fd
                .readable()
                .await
                .map_err(|source| RecvError { source })?;
            let attempt = ready.try_io(|fd| match receive(fd.get_ref(), &mut self.buffer) {
                // The one error that makes tokio wait for readiness again.
                Err(Errno::WOULDBLOCK) => Err(io::ErrorKind::WouldBlock.into()),
                outcome => Ok(outcome),
            });
            if let Ok(outcome) = attempt {
                let outcome = outcome.map_err(|source| RecvError { source })?;
                if let Some(received) = judge(&outcome, &self.buffer)? {
                    return Ok(received);
                }
            }
        }
    }
}

/// What `recvfrom` says of a datagram beside its bytes.
struct Datagram {
    /// Bytes that were sent; may be more than were copied.
    length: usize,
    /// The sender's netlink port, if there is one.
    port: Option<u32>,
}

#[expect(
    deprecated,
    reason = "the replacement is `unsafe` because a type could change its descriptor while it is \
              registered; an `OwnedFd` cannot"
)]
fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> Result<Datagram, Errno> {
    // TRUNC makes the kernel return the length that was sent instead of the length copied.
    let (_, length, sender) = recvfrom(fd, buffer, RecvFlags::TRUNC)?;
    Ok(Datagram {
        length,
        port: sender.and_then(port_of),
    })
}

/// Decides what one `recvfrom` means. `None`: nothing for the caller, receive again.
fn judge(outcome: &Result<Datagram, Errno>, buffer: &[u8]) -> Result<Option<Received>, RecvError> {
    match *outcome {
        Ok(Datagram { port, .. }) if port != Some(KERNEL_PORT) => Ok(None),
        Ok(Datagram { length, .. }) => Ok(Some(match buffer.get(..length) {
            Some(datagram) => match Uevent::parse(datagram) {
                Ok(event) => Received::Event(event),
                Err(error) => Received::Malformed(error),
            },
            None => Received::Malformed(ParseError::TooLong {
                length,
                limit: buffer.len(),
            }),
        })),
        Err(Errno::NOBUFS) => Ok(Some(Received::Lost)),
        Err(Errno::INTR) => Ok(None),
        Err(errno) => Err(RecvError {
            source: errno.into(),
        }),
    }
}

fn port_of(sender: SocketAddrAny) -> Option<u32> {
    SocketAddrNetlink::try_from(sender)
        .ok()
        .map(|address| address.pid())
}

/// Asks for [`RECEIVE_BUFFER`] bytes; returns what the kernel then reports.
fn enlarge(fd: &OwnedFd) -> io::Result<usize> {
    match set_socket_recv_buffer_size_force(fd, RECEIVE_BUFFER) {
        Err(Errno::PERM) => set_socket_recv_buffer_size(fd, RECEIVE_BUFFER)?,
        other => other?,
    }
    Ok(socket_recv_buffer_size(fd)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    const EVENT: &[u8] = b"add@/devices/x\0SEQNUM=1\0";

    /// A pair of datagram sockets of another family stands in for the kernel here.
    #[test]
    fn a_long_datagram_is_cut_and_its_length_known() {
        let (here, there) = UnixDatagram::pair().unwrap();
        there.send(&[b'x'; DATAGRAM_LIMIT + 5]).unwrap();
        there.send(EVENT).unwrap();
        let here = OwnedFd::from(here);
        let mut buffer = [0; DATAGRAM_LIMIT];
        let datagram = receive(&here, &mut buffer).unwrap();
        assert_eq!(datagram.length, DATAGRAM_LIMIT + 5);
        let datagram = receive(&here, &mut buffer).unwrap();
        assert_eq!(buffer[..datagram.length], *EVENT);
        // A sender without a netlink port is not the kernel.
        assert_eq!(datagram.port, None);
    }

    #[expect(clippy::unnecessary_wraps, reason = "an outcome as `judge` takes it")]
    fn from(port: u32, length: usize) -> Result<Datagram, Errno> {
        Ok(Datagram {
            length,
            port: Some(port),
        })
    }

    #[test]
    fn a_datagram_of_the_kernel_is_an_event() {
        let received = judge(&from(0, EVENT.len()), EVENT).unwrap();
        assert_eq!(
            received,
            Some(Received::Event(Uevent::parse(EVENT).unwrap()))
        );
    }

    #[test]
    fn any_other_sender_is_dropped_unread() {
        assert_eq!(judge(&from(4711, EVENT.len()), EVENT).unwrap(), None);
        let nameless = Ok(Datagram {
            length: EVENT.len(),
            port: None,
        });
        assert_eq!(judge(&nameless, EVENT).unwrap(), None);
    }

    #[test]
    fn a_full_buffer_is_a_loss_and_not_an_error() {
        assert_eq!(
            judge(&Err(Errno::NOBUFS), EVENT).unwrap(),
            Some(Received::Lost)
        );
    }

    #[test]
    fn an_interrupted_call_is_repeated() {
        assert_eq!(judge(&Err(Errno::INTR), EVENT).unwrap(), None);
    }

    #[test]
    fn other_failures_reach_the_caller() {
        let error = judge(&Err(Errno::BADF), EVENT).unwrap_err();
        assert_eq!(
            error.source.raw_os_error(),
            Some(Errno::BADF.raw_os_error())
        );
    }

    #[test]
    fn what_is_not_understood_is_still_a_hint() {
        let received = judge(&from(0, 4), b"junk").unwrap();
        let header = "junk".to_owned();
        assert_eq!(
            received,
            Some(Received::Malformed(ParseError::Header { header }))
        );
        let received = judge(&from(0, 9000), EVENT).unwrap();
        let error = ParseError::TooLong {
            length: 9000,
            limit: EVENT.len(),
        };
        assert_eq!(received, Some(Received::Malformed(error)));
    }
}
