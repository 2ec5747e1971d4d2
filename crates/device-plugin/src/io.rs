//! Connections that can be cut.
//!
//! tonic's graceful shutdown waits for every connection, and a peer that says nothing keeps
//! its connection for ever. So each connection that is accepted here ends when a token is
//! cancelled, whatever its peer does, or when nothing was asked on it for a while.

use crate::connections::{Caller, Connection, Connections, IDLE};
use rustix::process::geteuid;
use std::{
    collections::BTreeSet,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixListener, UnixStream},
    time::{Instant, Sleep, sleep, sleep_until},
};
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// How long to rest when a connection cannot be accepted, for want of file descriptors, say.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// The user that the kubelet runs as.
const ROOT: u32 = 0;

/// Accepts connections: few at once, of the right users, and each can be cut.
pub(crate) struct Acceptor {
    listener: UnixListener,
    cut: CancellationToken,
    connections: Connections,
    /// Our own user.
    user: u32,
    rest: Option<Pin<Box<Sleep>>>,
    /// Why the last attempt failed, so that a lasting cause is said once.
    failed: Option<io::ErrorKind>,
    /// The users that were turned away, so that it is said once of each.
    strangers: BTreeSet<u32>,
}

impl Acceptor {
    /// Accepts from `listener`. Each connection ends with `cut`.
    pub(crate) fn new(listener: UnixListener, cut: CancellationToken) -> Self {
        Self {
            listener,
            cut,
            connections: Connections::default(),
            user: geteuid().as_raw(),
            rest: None,
            failed: None,
            strangers: BTreeSet::new(),
        }
    }

    /// Takes a connection, or turns it away.
    fn admit(&mut self, stream: UnixStream) -> Option<CutStream> {
        match stream.peer_cred() {
            Ok(peer) if is_welcome(peer.uid(), self.user) => {}
            Ok(peer) => {
                if self.strangers.insert(peer.uid()) {
                    let (uid, pid) = (peer.uid(), peer.pid());
                    tracing::warn!(
                        uid,
                        ?pid,
                        "a process that is not the kubelet is turned away"
                    );
                }
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, "a peer without a user is turned away");
                return None;
            }
        }
        let connection = self.connections.admit(&self.cut);
        if connection.is_none() {
            tracing::warn!("too many calls at once; a new connection is turned away");
        }
        Some(CutStream::new(stream, connection?))
    }
}

/// Whether a peer may talk to us: the kubelet, which is root, or whoever runs as we do, as the kubelet
/// of a rootless node does.
fn is_welcome(peer: u32, ourselves: u32) -> bool {
    peer == ROOT || peer == ourselves
}

impl Stream for Acceptor {
    type Item = io::Result<CutStream>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(rest) = &mut self.rest {
                ready!(rest.as_mut().poll(context));
                self.rest = None;
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok((stream, _)) => {
                    self.failed = None;
                    if let Some(stream) = self.admit(stream) {
                        return Poll::Ready(Some(Ok(stream)));
                    }
                }
                // An error ends tonic's server, but not the reason to serve.
                Err(error) => {
                    if self.failed.replace(error.kind()) != Some(error.kind()) {
                        tracing::warn!(%error, "cannot accept connections; trying on");
                    }
                    self.rest = Some(Box::pin(sleep(ACCEPT_REST)));
                }
            }
        }
    }
}

/// A connection that can be cut. Once cut, reads are at the end, and writes fail.
pub(crate) struct CutStream {
    stream: UnixStream,
    connection: Connection,
    // One for each direction, because each may be polled from a task of its own.
    cut_read: Pin<Box<WaitForCancellationFutureOwned>>,
    cut_write: Pin<Box<WaitForCancellationFutureOwned>>,
    /// When to look next whether the connection is idle.
    idle: Pin<Box<Sleep>>,
}

impl CutStream {
    fn new(stream: UnixStream, connection: Connection) -> Self {
        let cut = connection.cut().clone();
        Self {
            stream,
            connection,
            cut_read: Box::pin(cut.clone().cancelled_owned()),
            cut_write: Box::pin(cut.cancelled_owned()),
            idle: Box::pin(sleep(IDLE)),
        }
    }

    /// Cuts the connection if nothing was asked on it for too long. Otherwise the task is woken when
    /// that may be so.
    fn check_idle(&mut self, context: &mut Context<'_>) {
        while self.idle.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let at = self.connection.idle_at().unwrap_or(now + IDLE);
            if at <= now {
                tracing::debug!("a connection without a call is cut");
                self.connection.cut().cancel();
                return;
            }
            self.idle.set(sleep_until(at));
        }
    }

    /// Fails if the connection was cut. Otherwise the task is woken when it is.
    fn check_write(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut_write.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::BrokenPipe.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for CutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut_read.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.check_idle(context);
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_write(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_write(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_write(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for CutStream {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.connection.caller()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn stream(cut: &CancellationToken) -> (CutStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let connection = Connections::default().admit(cut).unwrap();
        (CutStream::new(ours, connection), theirs)
    }

    #[test]
    fn only_root_and_we_ourselves_are_welcome() {
        assert!(is_welcome(0, 0) && is_welcome(0, 1000) && is_welcome(1000, 1000));
        assert!(!is_welcome(1000, 0) && !is_welcome(1001, 1000));
    }

    #[tokio::test]
    async fn a_cut_wakes_a_reader_and_stops_a_writer() {
        let cut = CancellationToken::new();
        let (mut ours, mut theirs) = stream(&cut);
        ours.write_all(b"hello").await.unwrap();
        let mut hello = [0; 5];
        theirs.read_exact(&mut hello).await.unwrap();

        let mut one = [0; 1];
        let (read, ()) = tokio::join!(ours.read(&mut one), async { cut.cancel() });
        assert_eq!(read.unwrap(), 0);
        assert_eq!(
            ours.write(b"x").await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
        drop(ours);
        assert_eq!(theirs.read(&mut one).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_and_one_with_a_call_does_not() {
        let cut = CancellationToken::new();
        let (mut ours, _theirs) = stream(&cut);
        let call = ours.connect_info().call();
        let begun = Instant::now();
        let (read, ()) = tokio::join!(ours.read_u8(), async {
            sleep(IDLE * 3).await;
            drop(call);
        });
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let lived = begun.elapsed();
        assert!(lived >= IDLE * 4 && lived < IDLE * 5, "{lived:?}");
        assert!(!cut.is_cancelled(), "the others live on");
    }
}
