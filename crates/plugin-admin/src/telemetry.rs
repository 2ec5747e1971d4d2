//! The log of a daemon: where it goes, how it looks, what it holds.

use std::env;
use std::io::{self, IsTerminal, Write};

use tracing::Subscriber;
use tracing::subscriber::set_global_default;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;

use crate::error::TelemetryError;
use crate::format::LogFormat;
use crate::level;
use crate::log_level::LogLevel;
use crate::one_line::OneLine;

/// The environment variable whose filter replaces the verbosity.
pub const FILTER_VARIABLE: &str = "RUST_LOG";

/// The variable that forbids colour if it is not empty (<https://no-color.org>).
const NO_COLOR: &str = "NO_COLOR";

/// The log of a daemon, before it is set up.
#[derive(Clone, Debug)]
#[must_use = "nothing is logged before `init`"]
pub struct Telemetry {
    format: LogFormat,
    verbosity: u8,
    filter: Option<String>,
}

impl Telemetry {
    /// A log in `format` that holds as much as `verbosity` says; the crate's page has the scale.
    pub const fn new(format: LogFormat, verbosity: u8) -> Self {
        Self {
            format,
            verbosity,
            filter: None,
        }
    }

    /// Replaces the verbosity by a filter in the language of `RUST_LOG`.
    ///
    /// An empty filter, or one of blanks, is no filter: a manifest that sets the variable to
    /// nothing means the default.
    pub fn with_filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = Some(filter.into()).filter(|text| !text.trim().is_empty());
        self
    }

    /// Takes the filter from [`FILTER_VARIABLE`], if that is set.
    ///
    /// # Errors
    ///
    /// [`TelemetryError::NotText`] when the variable is not UTF-8.
    pub fn with_environment(self) -> Result<Self, TelemetryError> {
        match env::var(FILTER_VARIABLE) {
            Ok(filter) => Ok(self.with_filter(filter)),
            Err(env::VarError::NotPresent) => Ok(self),
            Err(env::VarError::NotUnicode(raw)) => Err(TelemetryError::NotText {
                lossy: raw.to_string_lossy().into_owned(),
            }),
        }
    }

    /// Sends what this process logs from now on to standard error.
    ///
    /// What is returned changes how much is logged while the process runs.
    ///
    /// An event is one line: control characters inside it are made visible (in colour, line breaks
    /// are). Lines are in colour only on a terminal, and there only if `NO_COLOR` is unset or empty.
    ///
    /// # Errors
    ///
    /// [`TelemetryError::Filter`] when the filter cannot be read, [`TelemetryError::AlreadySet`]
    /// when the process has a log already. In both cases nothing has changed.
    pub fn init(self) -> Result<LogLevel, TelemetryError> {
        let forbidden = env::var_os(NO_COLOR).is_some_and(|value| !value.is_empty());
        let colour = io::stderr().is_terminal() && !forbidden;
        let (subscriber, level) = self.subscriber(colour, io::stderr)?;
        set_global_default(subscriber).map_err(|_set_before| TelemetryError::AlreadySet)?;
        Ok(level)
    }

    /// The subscriber that writes to `out`. A span has a line when it ends, with its duration.
    fn subscriber<W: Write + 'static>(
        &self,
        colour: bool,
        out: impl Fn() -> W + Send + Sync + 'static,
    ) -> Result<(Box<dyn Subscriber + Send + Sync>, LogLevel), TelemetryError> {
        // A writer that fails must not make us write to it again, and panic there: the reader of
        // a pod's log may go away at any time.
        let log = layer()
            .with_ansi(colour)
            .log_internal_errors(false)
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(move || OneLine { out: out(), colour });
        let usual = self.targets()?;
        let (filter, handle) = reload::Layer::new(usual.clone());
        let filtered = Registry::default().with(filter);
        let subscriber: Box<dyn Subscriber + Send + Sync> = match self.format {
            LogFormat::Text => Box::new(filtered.with(log)),
            LogFormat::Json => {
                let log = log.json().flatten_event(true).with_span_list(false);
                Box::new(filtered.with(log))
            }
        };
        Ok((subscriber, LogLevel::new(handle, usual, self.verbosity)))
    }

    fn targets(&self) -> Result<Targets, TelemetryError> {
        let filter = self
            .filter
            .clone()
            .unwrap_or_else(|| level::directives(self.verbosity));
        let targets: Targets = match filter.parse() {
            Ok(targets) => targets,
            Err(source) => return Err(TelemetryError::Filter { filter, source }),
        };
        // What is no directive is taken for a module of which everything is wanted, and so for nothing.
        let module = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-');
        let odd = targets
            .iter()
            .find(|(target, _)| !target.chars().all(module))
            .map(|(target, _)| target.to_owned());
        match odd {
            Some(target) => Err(TelemetryError::NoModule { filter, target }),
            None => Ok(targets),
        }
    }
}

/// Sets up the log of this process: [`Telemetry::with_environment`], then [`Telemetry::init`].
///
/// # Errors
///
/// Those of the two.
pub fn init(format: LogFormat, verbosity: u8) -> Result<LogLevel, TelemetryError> {
    Telemetry::new(format, verbosity).with_environment()?.init()
}

#[cfg(test)]
mod tests;
