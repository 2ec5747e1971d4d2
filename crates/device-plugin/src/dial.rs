//! Connections to the kubelet.

use hyper_util::rt::TokioIo;
use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::net::UnixStream;
use tonic::{
    codegen::Service,
    transport::{Channel, Endpoint, Uri},
};

/// Connects to the kubelet's `socket`. Fails with a reason for a person.
pub(crate) async fn dial(socket: &Path) -> Result<Channel, String> {
    let path = socket.to_str();
    let path = path.ok_or_else(|| "the path of its socket is not UTF-8".to_owned())?;
    let endpoint = Endpoint::from_shared(format!("unix://{path}"));
    let endpoint = endpoint.map_err(|error| innermost(&error))?;
    let channel = endpoint.connect_with_connector(Socket(socket.to_owned()));
    channel.await.map_err(|error| innermost(&error))
}

/// Connects to a path. tonic does so too in [`Endpoint::connect`], but links its TCP connector and with it the C library's resolver of host
/// names, a hundred kilobytes of a static program.
struct Socket(PathBuf);

impl Service<Uri> for Socket {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async { UnixStream::connect(path).await.map(TokioIo::new) })
    }
}

/// The innermost source, which is the one that says something: tonic's own texts are "transport
/// error" and the like.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
