//! A value as it was typed, and where.

use std::fmt;
use std::time::Duration;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A flag of the command line.
    Flag(&'static str),
    /// An environment variable that stands for a flag.
    Variable {
        /// The variable.
        name: &'static str,
        /// The flag it stands for.
        flag: &'static str,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable { name, flag } => write!(f, "{name} (for {flag})"),
        }
    }
}

/// A value as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The text.
    pub(crate) text: String,
    /// Where it came from.
    pub(crate) source: Source,
}

impl Setting {
    /// The NAME of a value that is still the literal `$(NAME)`.
    ///
    /// The kubelet replaces `$(NAME)` in a container's args by the variable; where there is no such
    /// variable it leaves the text alone, which is how a missing `ConfigMap` key arrives here.
    pub(crate) fn unexpanded(&self) -> Option<&str> {
        let name = self.text.trim().strip_prefix("$(")?.strip_suffix(')')?;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        (!name.is_empty() && name.chars().all(legal)).then_some(name)
    }
}

/// Reads a time such as `5s`, `500ms`, `2m`; a bare number counts seconds.
///
/// # Errors
///
/// A sentence that names the forms when `text` is none of them, or is shorter than 10 ms or longer
/// than a day.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => Some(1),
        "s" | "" => Some(1_000),
        "m" => Some(60_000),
        _ => None,
    };
    let millis = scale.and_then(|scale| number.parse::<u64>().ok()?.checked_mul(scale));
    match millis {
        Some(millis @ 10..=86_400_000) => Ok(Duration::from_millis(millis)),
        _ => Err(format!(
            "`{text}` is no time from 10ms to a day, such as 5s, 500ms or 2m"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_references_are_recognised() {
        let named = |text: &str| {
            let setting = Setting {
                text: text.to_owned(),
                source: Source::Flag("-v"),
            };
            setting.unexpanded().map(str::to_owned)
        };
        assert_eq!(named("$(VERBOSITY)").as_deref(), Some("VERBOSITY"));
        assert_eq!(named("$()"), None);
        assert_eq!(named("$(A)$(B)"), None);
        assert_eq!(named("4"), None);
    }

    #[test]
    fn times() {
        assert_eq!(parse_time("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_time("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(parse_time("7"), Ok(Duration::from_secs(7)));
        for bad in [
            "",
            "s",
            "0s",
            "1h",
            "-1s",
            "99999999999999999999s",
            "1e3",
            "5 s",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
