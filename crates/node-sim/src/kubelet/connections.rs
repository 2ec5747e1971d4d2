//! The connections from plugins.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    net::Shutdown,
    os::unix::net::UnixStream as StdStream,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};
use tonic::transport::server::Connected;

/// All open connections, so that a kubelet that dies can hang up on every plugin.
///
/// The server library runs each connection in a task of its own. The task ends when its
/// socket does.
#[derive(Clone, Default, Debug)]
pub(super) struct Connections(Arc<Mutex<Open>>);

#[derive(Default, Debug)]
struct Open {
    /// A second handle of each connection.
    handles: BTreeMap<u64, StdStream>,
    last: u64,
    /// The kubelet is dead: no connection is accepted any more.
    cut: bool,
}

impl Connections {
    /// Remembers a second handle of `stream`, for as long as the connection lives.
    pub(super) fn track(&self, stream: UnixStream) -> io::Result<Connection> {
        let stream = stream.into_std()?;
        let handle = stream.try_clone()?;
        let stream = UnixStream::from_std(stream)?;
        let mut open = self.open();
        if open.cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        open.last += 1;
        let number = open.last;
        open.handles.insert(number, handle);
        drop(open);
        Ok(Connection {
            stream,
            number,
            all: self.clone(),
        })
    }

    /// Hangs up on everybody, for good.
    pub(super) fn cut(&self) {
        let mut open = self.open();
        open.cut = true;
        for stream in open.handles.values() {
            // An error means that the plugin was faster.
            drop(stream.shutdown(Shutdown::Both));
        }
        open.handles.clear();
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection from a plugin. Its second handle goes with it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    number: u64,
    all: Connections,
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop(self.all.open().handles.remove(&self.number));
    }
}

impl Connected for Connection {
    type ConnectInfo = <UnixStream as Connected>::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
