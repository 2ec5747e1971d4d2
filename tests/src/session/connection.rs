//! A connection of the kubelet to a plugin that reports its end.

use std::{
    io, mem,
    net::Shutdown,
    os::unix::net::UnixStream as StdStream,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};
use tonic::transport::server::Connected;

use super::plugin::{Event, Log};

/// The number of a connection, in the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) u64);

/// A connection that the kubelet has opened.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    number: Number,
    log: Log,
    ended: bool,
}

/// Breaks a connection.
#[derive(Debug)]
pub(super) struct Handle(StdStream);

impl Handle {
    pub(super) fn shut_down(&self) {
        // An error means that the connection has ended already.
        drop(self.0.shutdown(Shutdown::Both));
    }
}

impl Connection {
    pub(super) fn new(stream: UnixStream, number: u64, log: Log) -> io::Result<(Self, Handle)> {
        let stream = stream.into_std()?;
        let handle = Handle(stream.try_clone()?);
        let connection = Self {
            stream: UnixStream::from_std(stream)?,
            number: Number(number),
            log,
            ended: false,
        };
        Ok((connection, handle))
    }
}

impl Connection {
    fn end(&mut self) {
        let number = self.number.0;
        if !mem::replace(&mut self.ended, true) {
            self.log.push(|socket| Event::Closed(socket, number));
        }
    }
}

/// The server closes a connection by itself when the kubelet says that it goes away.
impl Drop for Connection {
    fn drop(&mut self) {
        self.end();
    }
}

impl Connected for Connection {
    type ConnectInfo = Number;

    fn connect_info(&self) -> Number {
        self.number
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if result.is_err() || buffer.filled().len() == before {
            self.end();
        }
        Poll::Ready(result)
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
}
