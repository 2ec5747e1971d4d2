//! The way back: from the kubelet to the plugin's socket.

use std::{error::Error as StdError, path::Path, time::Duration};

use kubelet_api::deviceplugin::v1beta1::device_plugin_client::DevicePluginClient;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::{Channel, Endpoint, Error, Uri};

/// A client of one plugin.
pub(super) type Api = DevicePluginClient<Channel>;

/// The first pause of gRPC for Go between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);

/// Connects to `socket`, and tries again until `limit` is over.
///
/// Requests carry the authority `localhost`. The real kubelet sets it since Kubernetes 1.26,
/// because servers outside of Go refuse the path that it would be otherwise.
pub(super) async fn dial(socket: &Path, limit: Duration) -> Result<Api, String> {
    let deadline = Instant::now() + limit;
    let endpoint = endpoint(socket).map_err(|error| error.to_string())?;
    let mut last = None;
    let attempts = async {
        loop {
            match endpoint.connect().await {
                Ok(channel) => break DevicePluginClient::new(channel),
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

fn endpoint(socket: &Path) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()))?;
    Ok(endpoint.origin(Uri::from_static("http://localhost")))
}

/// The deepest source says what is wrong.
fn chain(error: &Error) -> String {
    let mut deepest: &dyn StdError = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
