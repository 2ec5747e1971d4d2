//! Connections that can be cut.
//!
//! tonic's graceful shutdown waits for every connection, and a peer that says nothing keeps
//! its connection for ever. So each connection that is accepted here ends when a token is
//! cancelled, whatever its peer does.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixListener, UnixStream},
    time::{Sleep, sleep},
};
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, UdsConnectInfo};

/// How long to rest when a connection cannot be accepted, for want of file descriptors, say.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Accepts connections that are cut when a token is cancelled.
pub(crate) struct Acceptor {
    listener: UnixListener,
    cut: CancellationToken,
    rest: Option<Pin<Box<Sleep>>>,
    /// Why the last attempt failed, so that a lasting cause is said once.
    failed: Option<io::ErrorKind>,
}

impl Acceptor {
    pub(crate) fn new(listener: UnixListener, cut: CancellationToken) -> Self {
        Self {
            listener,
            cut,
            rest: None,
            failed: None,
        }
    }
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
                    return Poll::Ready(Some(Ok(CutStream::new(stream, &self.cut))));
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
    // One for each direction, because each may be polled from a task of its own.
    cut_read: Pin<Box<WaitForCancellationFutureOwned>>,
    cut_write: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl CutStream {
    fn new(stream: UnixStream, cut: &CancellationToken) -> Self {
        Self {
            stream,
            cut_read: Box::pin(cut.clone().cancelled_owned()),
            cut_write: Box::pin(cut.clone().cancelled_owned()),
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
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_cut_wakes_a_reader_and_stops_a_writer() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let cut = CancellationToken::new();
        let mut ours = CutStream::new(ours, &cut);
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
}
