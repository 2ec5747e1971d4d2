//! The start of the names of numbered variables.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use thiserror::Error;

/// The longest prefix.
const MAX: usize = 64;

/// What the families with the resource in their name start with.
const TAKEN: [&str; 3] = ["PCI_RESOURCE_", "PCIDEVICE_", "MDEV_PCI_RESOURCE_"];

/// The start of the names of numbered variables: with `FAST` a container gets `FAST0`, `FAST1`, ….
///
/// A name that a shell can read (POSIX.1-2017, XBD 3.235), of at most 64 characters. Two prefixes never lead to
/// one variable: a prefix ends in no digit, so that `FAST1` with `0` is not `FAST` with `10`. None starts as the
/// variables with the resource in their name do.
///
/// ```
/// use passthrough::NumberedPrefix;
///
/// let prefix: NumberedPrefix = "FAST".parse()?;
/// assert_eq!(prefix.variable(1), "FAST1");
/// for wrong in ["", "1FAST", "FAST1", "FA-ST", "PCIDEVICE_X"] {
///     assert!(wrong.parse::<NumberedPrefix>().is_err());
/// }
/// # Ok::<(), passthrough::PrefixError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NumberedPrefix(String);

/// Why a text cannot be the start of numbered variables.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// A shell could not read the variables.
    #[error(
        "`{text}` is no start of numbered variables; it has letters, digits and `_`, starts with a letter or \
         `_`, does not end in a digit, and has at most {MAX} characters"
    )]
    Form {
        /// What was given.
        text: String,
    },
    /// Variables with a resource in their name start so.
    #[error("`{text}` starts with `{taken}`, as the variables with a resource in their name do")]
    Taken {
        /// What was given.
        text: String,
        /// The start that is taken.
        taken: &'static str,
    },
}

impl NumberedPrefix {
    /// The name of the variable with this number; the first is 0.
    #[must_use]
    pub fn variable(&self, number: usize) -> String {
        format!("{self}{number}")
    }

    /// The number in the name of a variable, if it is one of these.
    pub(crate) fn number(&self, variable: &str) -> Option<usize> {
        let digits = variable.strip_prefix(&self.0)?;
        let number = digits.parse().ok()?;
        (self.variable(number) == variable).then_some(number)
    }
}

impl FromStr for NumberedPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let form = text.chars().all(inner)
            && !text.starts_with(|first: char| first.is_ascii_digit())
            && text.ends_with(|last: char| !last.is_ascii_digit())
            && text.len() <= MAX;
        let text = text.to_owned();
        if !form {
            return Err(PrefixError::Form { text });
        }
        match TAKEN.into_iter().find(|taken| text.starts_with(taken)) {
            Some(taken) => Err(PrefixError::Taken { text, taken }),
            None => Ok(Self(text)),
        }
    }
}

impl Display for NumberedPrefix {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn a_number_is_read_back_in_one_form_only() {
        let prefix: NumberedPrefix = "QA_T".parse().unwrap();
        assert_eq!(prefix.number("QA_T0"), Some(0));
        assert_eq!(prefix.number("QA_T17"), Some(17));
        for other in ["QA_T", "QA_T01", "QA_T+1", "QA_TX1", "QA_", "xQA_T1"] {
            assert_eq!(prefix.number(other), None, "{other}");
        }
    }

    #[test]
    fn a_prefix_of_another_family_is_refused() {
        let error = "PCI_RESOURCE_A".parse::<NumberedPrefix>().unwrap_err();
        assert!(error.to_string().contains("starts with `PCI_RESOURCE_`"));
        let long = "X".repeat(65);
        assert!(long.parse::<NumberedPrefix>().is_err());
    }

    proptest! {
        #[test]
        fn two_prefixes_share_no_variable(
            one in "[A-Z_][A-Z0-9_]{0,3}[A-Z_]", other in "[A-Z_][A-Z0-9_]{0,3}[A-Z_]",
            first in 0_usize..200, second in 0_usize..200,
        ) {
            let (a, b): (NumberedPrefix, NumberedPrefix) = (one.parse().unwrap(), other.parse().unwrap());
            let same = a.variable(first) == b.variable(second);
            prop_assert_eq!(same, one == other && first == second);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,70}") {
            if let Ok(prefix) = text.parse::<NumberedPrefix>() {
                prop_assert_eq!(prefix.to_string(), text);
            }
        }
    }
}
