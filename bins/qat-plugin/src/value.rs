//! A value as it was typed, and where.

use std::fmt;

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
}
