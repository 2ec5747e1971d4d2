//! One session: a socket, and whoever talks to us there.

use crate::{
    activity::{Activity, Counts},
    io::Acceptor,
    service::Service,
    socket::{OwnSocket, SocketError},
};
use std::{path::Path, time::Duration};
use tokio::{sync::watch, time::timeout};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};
use tonic::transport::Server;

/// How long a peer may take to hang up after its stream has ended. The kubelet does so at once.
///
/// Up to 1.36 a kubelet finds a client by its resource. If it saw the end of an old stream
/// after the new Register, it would give up the new client for it.
const HANG_UP: Duration = Duration::from_millis(100);
/// How long connections may take to end once they are cut. They do so at once.
const CUT: Duration = Duration::from_secs(1);

/// The most calls at once on a connection. The kubelet has a few.
const MAX_CALLS: u32 = 32;

/// A socket that is served. Ended by [`end`](Self::end), or cut short when it is dropped.
pub(crate) struct Session {
    socket: OwnSocket,
    activity: Activity,
    /// Ends streams and takes no more connections.
    end: CancellationToken,
    /// Cuts the connections.
    cut: CancellationToken,
    server: AbortOnDropHandle<()>,
    _on_drop: [DropGuard; 2],
}

impl Session {
    /// Binds the socket and serves on it.
    pub(crate) async fn open(path: &Path, service: Service) -> Result<Self, SocketError> {
        let (socket, listener) = OwnSocket::bind(path).await?;
        let activity = Activity::new();
        let (end, cut) = (CancellationToken::new(), CancellationToken::new());
        let service = service.into_server(activity.clone(), end.clone());
        let incoming = Acceptor::new(listener, cut.clone());
        let serving = Server::builder()
            .max_concurrent_streams(MAX_CALLS)
            .serve_with_incoming_shutdown(service, incoming, end.clone().cancelled_owned());
        let server = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::warn!(%error, "the server has stopped");
            }
        }));
        Ok(Self {
            _on_drop: [end.clone().drop_guard(), cut.clone().drop_guard()],
            socket,
            activity,
            end,
            cut,
            server,
        })
    }

    /// Whether the kubelet could reach us still.
    pub(crate) fn stands(&self) -> bool {
        self.socket.stands() && !self.server.is_finished()
    }

    pub(crate) fn path(&self) -> &Path {
        self.socket.path()
    }

    /// What the kubelet does with us.
    pub(crate) fn activity(&self) -> watch::Receiver<Counts> {
        self.activity.watch()
    }

    /// Ends the streams, removes the socket, and lets no connection survive.
    ///
    /// Calls that are being answered have `calls` to end. This takes that and [`HANG_UP`] at
    /// the longest.
    pub(crate) async fn end(self, calls: Duration) {
        let Self {
            socket,
            activity,
            end,
            cut,
            mut server,
            _on_drop,
        } = self;
        end.cancel();
        drop(socket);
        let mut counts = activity.watch();
        let quiet = counts.wait_for(|counts| counts.calls == 0);
        if timeout(calls, quiet).await.is_err() && !calls.is_zero() {
            tracing::warn!("a call of the kubelet is cut off");
        }
        if timeout(HANG_UP, &mut server).await.is_ok() {
            return;
        }
        cut.cancel();
        if timeout(CUT, &mut server).await.is_err() {
            tracing::warn!("a connection did not end when it was cut");
        }
    }
}
