//! A connection that notes when the other side has closed it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};
use tonic::transport::server::Connected;

use super::plugin::Calls;

pub(super) struct Tap {
    stream: UnixStream,
    calls: Arc<Calls>,
    ended: bool,
}

impl Tap {
    pub(super) fn new(stream: UnixStream, calls: Arc<Calls>) -> Self {
        calls.connections.send_modify(|open| *open += 1);
        Self {
            stream,
            calls,
            ended: false,
        }
    }
}

impl Connected for Tap {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.remaining();
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        let end = result.is_err() || (before > 0 && buffer.remaining() == before);
        if end && !self.ended {
            self.ended = true;
            self.calls.connections.send_modify(|open| *open -= 1);
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Tap {
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
