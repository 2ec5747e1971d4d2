//! The end of the process.

use std::io;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
};

/// Waits until the process is asked to stop: SIGTERM, which is what Kubernetes sends first, or
/// SIGINT, which is ctrl-c.
///
/// Afterwards call [`Supervisor::shutdown`](crate::Supervisor::shutdown). From the first call on
/// neither signal ends the process by itself.
///
/// # Errors
///
/// The kernel's, when the signals cannot be caught.
pub async fn stop_signal() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    Ok(())
}
