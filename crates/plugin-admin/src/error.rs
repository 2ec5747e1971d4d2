//! What can go wrong before the first line is logged.

use tracing_subscriber::filter::ParseError;

use crate::{FILTER_VARIABLE, LogFormat};

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter is not a list of directives.
    #[error(
        "cannot use the log filter `{filter}`; write a level or a list such as \
         `info,device_plugin=debug` into {FILTER_VARIABLE}, or unset it"
    )]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// A directive of the filter speaks of something that is no module.
    #[error(
        "cannot use the log filter `{filter}`: `{target}` is no module; write a level or a list such as \
         `info,device_plugin=debug` into {FILTER_VARIABLE}, or unset it"
    )]
    NoModule {
        /// The filter as it was given.
        filter: String,
        /// What should be a module.
        target: String,
    },
    /// The filter in the environment is not text.
    #[error("the log filter in {FILTER_VARIABLE} is not UTF-8: `{lossy}`; correct or unset it")]
    NotText {
        /// The filter, with what cannot be read replaced.
        lossy: String,
    },
    /// This process has a log already.
    #[error("the log of this process is set up already; do it once, in `main`")]
    AlreadySet,
}

/// A log format with a name that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no log format is called `{value}`; allowed: {}", LogFormat::NAMES.join(", "))]
pub struct UnknownLogFormat {
    /// The name as it was given.
    pub value: String,
}
