//! What can go wrong, and what the caller can do about it.

use std::io;

use thiserror::Error;

/// Why a datagram is not a kernel uevent. It can be skipped; as a hint it still says that something
/// happened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The datagram has no bytes.
    #[error("the datagram is empty")]
    Empty,
    /// The datagram starts with `libudev`: it is a message of `udevd` to its clients (multicast
    /// group 2), not of the kernel.
    #[error("the datagram is a message of udevd, not of the kernel")]
    FromUdev,
    /// The first field is not `ACTION@DEVPATH` with a non-empty action and a path that starts
    /// with `/`.
    #[error("the header `{header}` is not of the form `action@/path`")]
    Header {
        /// The first field, its first 80 characters at most, control characters escaped.
        header: String,
    },
    /// The datagram is longer than the receive buffer, so its end is missing.
    #[error("the datagram has {length} bytes, which is more than the {limit} that are read")]
    TooLong {
        /// Bytes that were sent.
        length: usize,
        /// Bytes that are read at most ([`DATAGRAM_LIMIT`](crate::DATAGRAM_LIMIT)).
        limit: usize,
    },
}

/// Why the socket could not be opened. The caller does without events and looks more often.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The socket was refused: the kernel has no netlink, or a seccomp filter forbids it.
    #[error("cannot open a netlink socket for uevents; is AF_NETLINK forbidden by seccomp?")]
    Socket {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The receive buffer's size was refused.
    #[error("cannot set the receive buffer of the uevent socket to {bytes} bytes")]
    ReceiveBuffer {
        /// The size that was asked for.
        bytes: usize,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Joining multicast group 1 was refused.
    #[error("cannot join the kernel's uevent group")]
    Join {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The socket could not be registered with the tokio runtime.
    #[error("cannot register the uevent socket with the async runtime")]
    Register {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// The socket failed in a way that waiting does not mend. Open a new one.
#[derive(Debug, Error)]
#[error("cannot receive from the uevent socket")]
pub struct RecvError {
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}
