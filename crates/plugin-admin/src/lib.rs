//! What every plugin daemon needs so that people can see what it does.
//!
//! A daemon on a node has two readers. One looks at `kubectl logs` and wants sentences; the other
//! is a log collector and wants fields. This crate sets up [`tracing`] for both, on standard
//! error, with one call in `main`:
//!
//! ```no_run
//! use plugin_admin::LogFormat;
//!
//! # fn main() -> Result<(), plugin_admin::TelemetryError> {
//! let level = plugin_admin::init(LogFormat::Text, 1)?;
//! tracing::info!(devices = 16, "registered");
//! level.louder(); // for a while
//! # Ok(())
//! # }
//! ```
//!
//! # How much is logged
//!
//! Two things decide, in this order:
//!
//! 1. The environment variable [`FILTER_VARIABLE`] (`RUST_LOG`), if it is set and not empty. It
//!    holds directives such as `info,device_plugin=trace`, as the documentation of
//!    [`Targets`](tracing_subscriber::filter::Targets) describes them, and replaces everything else. A
//!    filter that cannot be read is an error, not a shrug: whoever typed it waits for its effect.
//! 2. A number like the `-v` of Kubernetes components:
//!
//! | verbosity | level | who reads it |
//! |---|---|---|
//! | 0, 1 | info | the operator: what changed, what is wrong and what to do |
//! | 2, 3 | debug | whoever wonders why something was decided |
//! | 4 and more | trace | the author: every step |
//!
//! Whatever the number, the libraries below the gRPC connection stay at info, because each of
//! their frames would be a line. Name them in `RUST_LOG` to hear them.
//!
//! What `init` returns changes that while the process runs ([`LogLevel`]): a daemon has a signal do it.
//!
//! A span has a line when it ends, with the time that it took. So a span at debug is the way to measure what a daemon does:
//! silent and free until somebody asks.
//!
//! # Metrics and probes
//!
//! [`serve`] answers `/metrics`, `/healthz` and `/readyz` over HTTP, with what the daemon says ([`Admin`]). It counts nothing
//! itself.
//!
//! # What this crate does not do
//!
//! It writes no files, and it knows nothing about what the daemon that uses it does.
#![forbid(unsafe_code)]

mod error;
mod format;
mod level;
mod log_level;
mod one_line;
mod serve;
mod telemetry;

pub use crate::error::{TelemetryError, UnknownLogFormat};
pub use crate::format::LogFormat;
pub use crate::log_level::LogLevel;
pub use crate::serve::{Admin, serve};
pub use crate::telemetry::{FILTER_VARIABLE, Telemetry, init};
