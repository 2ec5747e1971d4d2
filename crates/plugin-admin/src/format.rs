//! How a line of the log looks.

use std::fmt;
use std::str::FromStr;

use crate::UnknownLogFormat;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// One line for people: time, level, target, message, fields. In colour on a terminal.
    #[default]
    Text,
    /// One JSON object per line, message and fields at its top level.
    ///
    /// An event should not name its own fields `timestamp`, `level`, `target` or `message`.
    Json,
}

impl LogFormat {
    /// The names that [`FromStr`] knows, for the help of a flag.
    pub const NAMES: &'static [&'static str] = &["text", "json"];

    /// The format's name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownLogFormat {
                value: text.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LogFormat;

    #[test]
    fn names_round_trip() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert!(LogFormat::NAMES.contains(&format.name()));
        }
        assert_eq!(LogFormat::NAMES.len(), 2);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        for text in ["", "Text", "yaml", " json"] {
            let error = text.parse::<LogFormat>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
            assert!(error.contains("text, json"), "{error}");
        }
    }
}
