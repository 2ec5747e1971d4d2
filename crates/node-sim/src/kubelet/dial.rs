//! From the kubelet to the plugin's socket.

use std::{
    error::Error as StdError,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use kubelet_api::deviceplugin::v1beta1::device_plugin_client::DevicePluginClient;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    sync::Notify,
    time::{Instant, sleep, timeout_at},
};
use tonic::{
    codegen::Service,
    transport::{Channel, Endpoint, Error, Uri},
};

/// A client of one plugin.
pub(super) type Api = DevicePluginClient<Channel>;

/// The first pause of gRPC for Go between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);

/// Connects to `socket`, and tries again until `limit` is over. The plugin must send the first
/// bytes of HTTP/2 within that time too: to listen is not enough.
///
/// Requests carry the authority `localhost`. The real kubelet sets it since Kubernetes 1.26,
/// because servers outside of Go refuse the path that it would be otherwise.
pub(super) async fn dial(socket: &Path, limit: Duration) -> Result<Api, String> {
    let deadline = Instant::now() + limit;
    let endpoint = Endpoint::from_static("http://localhost");
    let answered = Arc::new(Notify::new());
    let connector = Connector {
        socket: socket.to_owned(),
        answered: Arc::clone(&answered),
    };
    let mut last = None;
    let attempts = async {
        loop {
            match endpoint.connect_with_connector(connector.clone()).await {
                Ok(channel) => {
                    answered.notified().await;
                    break DevicePluginClient::new(channel);
                }
                Err(error) => last = Some(chain(&error)),
            }
            sleep(RETRY).await;
        }
    };
    let outcome = timeout_at(deadline, attempts).await;
    outcome.map_err(|_elapsed| {
        let reason = last.map(|last| format!(" ({last})")).unwrap_or_default();
        format!("failed to dial device plugin: context deadline exceeded{reason}")
    })
}

/// The deepest source says what is wrong.
fn chain(error: &Error) -> String {
    let mut deepest: &dyn StdError = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Connects to a plugin's socket.
#[derive(Clone)]
struct Connector {
    socket: PathBuf,
    answered: Arc<Notify>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { socket, answered } = self.clone();
        Box::pin(async move {
            let stream = UnixStream::connect(socket).await?;
            Ok(TokioIo::new(Connection { stream, answered }))
        })
    }
}

/// A connection that reports the first bytes of the plugin.
struct Connection {
    stream: UnixStream,
    answered: Arc<Notify>,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.answered.notify_one();
        }
        Poll::Ready(Ok(()))
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
