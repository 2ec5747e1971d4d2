//! Helpers that every parser of this crate shares.

use std::str::FromStr;

use thiserror::Error;

/// How much of a foreign value an error message repeats, in characters.
const SHOWN: usize = 80;

/// A text that does not have the form of the type it was parsed for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{value}` is not {expected}")]
#[non_exhaustive]
pub struct ParseError {
    /// The text, control characters escaped, cut after 80 characters.
    pub value: String,
    /// What would have been accepted, with an article: "a PCI address such as ...".
    pub expected: &'static str,
}

impl ParseError {
    pub(crate) fn new(value: &str, expected: &'static str) -> Self {
        Self {
            value: shown(value),
            expected,
        }
    }
}

/// Makes a foreign text fit for a message: no control characters, bounded length.
pub(crate) fn shown(value: &str) -> String {
    let mut text: String = value.escape_debug().take(SHOWN).collect();
    if value.escape_debug().nth(SHOWN).is_some() {
        text.push_str("...");
    }
    text
}

/// Parses `digits` hexadecimal digits of either case, no sign, no prefix.
pub(crate) fn hex(text: &str, digits: usize) -> Option<u32> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| u32::from_str_radix(text, 16).ok())
        .flatten()
}

/// Parses a decimal number as the kernel prints one: digits only, no sign, no leading zero.
///
/// The integers of the standard library parse `+1` and `01` too, which no name and no attribute of
/// the kernel has. `None` if the text is anything else, or a number that does not fit.
///
/// ```
/// use sysfs_pci::decimal;
///
/// assert_eq!(decimal::<u8>("240"), Some(240));
/// assert_eq!(decimal::<u8>("+1"), None);
/// assert_eq!(decimal::<u8>("256"), None);
/// ```
#[must_use]
pub fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    (digits && canonical).then(|| text.parse().ok()).flatten()
}

/// Serialises a type as the text of its `Display`, and reads it back with its `FromStr`.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use serde_as_text;
