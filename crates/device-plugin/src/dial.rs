//! Connections to the kubelet.

use std::{error::Error, path::Path};
use tonic::transport::{Channel, Endpoint};

/// Connects to the kubelet's `socket`. Fails with a reason for a person.
pub(crate) async fn dial(socket: &Path) -> Result<Channel, String> {
    let path = socket.to_str();
    let path = path.ok_or_else(|| "the path of its socket is not UTF-8".to_owned())?;
    let endpoint = Endpoint::from_shared(format!("unix://{path}"));
    let endpoint = endpoint.map_err(|error| innermost(&error))?;
    endpoint.connect().await.map_err(|error| innermost(&error))
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
