//! The life of the process, from valid settings to a signal.

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use plugin_admin::{Admin, LogLevel};
use qat_node::Metrics;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::reload::{self, Reload};
use crate::settings::{Settings, SettingsError};

/// Serves until SIGTERM or SIGINT. SIGUSR1 makes it log more, SIGUSR2 as much as at the start.
///
/// One thread is enough: everything is short, and what the kernel may block is not done here.
/// `read` reads the configuration anew.
pub(crate) fn run(
    settings: Settings,
    read: &dyn Fn() -> Result<Settings, SettingsError>,
) -> anyhow::Result<()> {
    let level = plugin_admin::init(settings.log_format, settings.verbosity);
    let level = level.context("cannot set up the log")?;
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    if let Some(why) = settings.unbound {
        info!("VFs are not bound to their driver by this plugin: {why}");
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(settings, level, read))
}

/// What the daemon says of itself.
fn admin(metrics: &Arc<Metrics>) -> Admin {
    let [text, live, ready, notes] = [(); 4].map(|()| Arc::clone(metrics));
    Admin {
        metrics: Arc::new(move || text.text()),
        live: Arc::new(move || live.live()),
        ready: Arc::new(move || ready.ready()),
        notes: Arc::new(move || notes.notes()),
    }
}

/// `EAFNOSUPPORT` of Linux: the kernel has no IPv6 (`ipv6.disable=1`).
const NO_SUCH_FAMILY: i32 = 97;

/// Listens. Every address means those of IPv4 where there are no others.
async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error)
            if error.raw_os_error() == Some(NO_SUCH_FAMILY)
                && address.ip() == Ipv6Addr::UNSPECIFIED =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        other => other,
    }
}

async fn serve(
    settings: Settings,
    level: LogLevel,
    read: &dyn Fn() -> Result<Settings, SettingsError>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut louder = signal(SignalKind::user_defined1()).context("cannot catch SIGUSR1")?;
    let mut usual = signal(SignalKind::user_defined2()).context("cannot catch SIGUSR2")?;
    let mut first = settings.wishes.clone();
    first.file = reload::status(&settings, &settings.told);
    let (wishes, current) = watch::channel(Arc::new(first));
    let (address, file) = (settings.admin, settings.file.clone());
    let started = settings.told.clone();
    let node = settings.node(current);
    let metrics = Arc::clone(&node.metrics);
    if let Some(address) = address {
        let listener = listen(address)
            .await
            .with_context(|| format!("--admin: cannot listen on {address}"))?;
        let address = listener.local_addr().unwrap_or(address);
        info!("metrics and probes: http://{address}/metrics, /healthz, /readyz");
        tokio::spawn(plugin_admin::serve(listener, admin(&metrics)));
    }
    let stop = CancellationToken::new();
    let reload = Reload {
        read,
        told: started.clone(),
        started,
        wishes,
        metrics,
    };
    let mut reload = pin!(async {
        match &file {
            Some(file) => reload.follow(file).await,
            None => pending().await,
        }
    });
    let mut node = pin!(qat_node::run(node, stop.clone()));
    loop {
        tokio::select! {
            () = &mut node => return Ok(()),
            () = &mut reload => {}
            _ = terminate.recv() => {
                info!("SIGTERM: stopping");
                break;
            }
            _ = interrupt.recv() => {
                info!("SIGINT: stopping");
                break;
            }
            _ = louder.recv() => {
                let now = level.louder();
                info!("SIGUSR1: logging at {now}; once more for more, SIGUSR2 for as much as at the start");
            }
            _ = usual.recv() => {
                info!("SIGUSR2: logging as much as at the start");
                level.usual();
            }
        }
    }
    stop.cancel();
    node.await;
    Ok(())
}
