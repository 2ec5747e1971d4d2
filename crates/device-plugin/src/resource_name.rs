//! The name of a resource.

use serde::{Deserialize, Serialize};
use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
};

/// The name of an extended resource, as pods ask for it: `vendor.example/name`.
///
/// The rules are those of Kubernetes (`IsExtendedResourceName`):
///
/// * the vendor is a DNS-1123 subdomain in lower case, of at most 244 bytes (the quota for the
///   resource is named `requests.vendor.example/name`, and its domain may have 253);
/// * the vendor is not `kubernetes.io` or a domain of it, and does not start with `requests.`;
/// * the name has 1 to 63 of `A-Z a-z 0-9 - _ .`, with a letter or a digit at both ends.
///
/// ```
/// use device_plugin::ResourceName;
///
/// let name: ResourceName = "example.com/fast-nic".parse()?;
/// assert_eq!(name.vendor(), "example.com");
/// assert_eq!(name.name(), "fast-nic");
/// assert_eq!(name.socket_name(), "example.com-fast-nic.sock");
/// # Ok::<(), device_plugin::ResourceNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceName {
    text: String,
    slash: usize,
}

/// Why a text is not the name of a resource.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceNameError {
    /// There is not exactly one slash.
    #[error("resource name `{text}` is not of the form `vendor.example/name`")]
    Form {
        /// What was given.
        text: String,
    },
    /// The part before the slash is not a DNS-1123 subdomain of at most 244 bytes.
    #[error(
        "vendor `{vendor}` of a resource name is not a domain of at most 244 bytes of \
         lower-case letters, digits, `-` and `.`"
    )]
    Vendor {
        /// The part before the slash.
        vendor: String,
    },
    /// The vendor is one that Kubernetes keeps for itself.
    #[error(
        "vendor `{vendor}` of a resource name is reserved by Kubernetes; use a domain of your own"
    )]
    Reserved {
        /// The part before the slash.
        vendor: String,
    },
    /// The part after the slash has characters that are not allowed, or is too long.
    #[error(
        "name `{name}` of a resource is not 1 to 63 letters, digits, `-`, `_` and `.`, \
         with a letter or a digit at both ends"
    )]
    Name {
        /// The part after the slash.
        name: String,
    },
}

/// The most bytes of a domain (253) less those of `requests.`.
const MAX_VENDOR: usize = 244;
/// The most bytes of the name after the slash.
const MAX_NAME: usize = 63;

impl ResourceName {
    /// Returns the part before the slash.
    pub fn vendor(&self) -> &str {
        self.text.get(..self.slash).unwrap_or_default()
    }

    /// Returns the part after the slash.
    pub fn name(&self) -> &str {
        self.text.get(self.slash + 1..).unwrap_or_default()
    }

    /// Returns the whole, `vendor.example/name`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the file name of the socket on which a plugin serves this resource.
    ///
    /// It is the resource name with a dash for the slash, and `.sock`. Other plugins use the
    /// same form, so that two plugins for one resource meet on one path, and the second one
    /// sees the first.
    pub fn socket_name(&self) -> String {
        format!("{}-{}.sock", self.vendor(), self.name())
    }
}

impl FromStr for ResourceName {
    type Err = ResourceNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for ResourceName {
    type Error = ResourceNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let Some((vendor, name)) = text.split_once('/') else {
            return Err(ResourceNameError::Form { text });
        };
        if name.contains('/') {
            return Err(ResourceNameError::Form { text });
        }
        let vendor = vendor.to_owned();
        if vendor.len() > MAX_VENDOR || !vendor.split('.').all(is_label) {
            return Err(ResourceNameError::Vendor { vendor });
        }
        // Kubernetes looks for `kubernetes.io/` anywhere, so this catches `xkubernetes.io` too.
        if vendor.ends_with("kubernetes.io") || vendor.starts_with("requests.") {
            return Err(ResourceNameError::Reserved { vendor });
        }
        if !is_qualified(name) {
            let name = name.to_owned();
            return Err(ResourceNameError::Name { name });
        }
        let slash = vendor.len();
        Ok(Self { text, slash })
    }
}

impl From<ResourceName> for String {
    fn from(name: ResourceName) -> Self {
        name.text
    }
}

impl Display for ResourceName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A part of a DNS-1123 subdomain: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`.
fn is_label(label: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    framed(label, alphanumeric, |byte| {
        alphanumeric(byte) || byte == b'-'
    })
}

/// The name part of a qualified name: `[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?`, at most 63.
fn is_qualified(name: &str) -> bool {
    name.len() <= MAX_NAME
        && framed(
            name,
            |byte| byte.is_ascii_alphanumeric(),
            |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
        )
}

/// Not empty, `end` at both ends, `inner` everywhere.
fn framed(text: &str, end: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.into_iter()
        .all(|byte| byte.is_some_and(|&byte| end(byte)))
        && bytes.iter().all(|&byte| inner(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<ResourceName, ResourceNameError> {
        text.parse()
    }

    #[test]
    fn names_of_the_wild_are_accepted() {
        for text in [
            "example.com/nic",
            "a/b",
            "example.com/4_x.Y-9",
            "x-1.example/A",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        let longest = format!("{}/{}", "a".repeat(244), "n".repeat(63));
        assert_eq!(parse(&longest).unwrap().as_str(), longest);
    }

    #[test]
    fn each_rule_has_its_error() {
        for text in ["", "nic", "a/b/c"] {
            assert!(
                matches!(parse(text), Err(ResourceNameError::Form { .. })),
                "{text}"
            );
        }
        let long = format!("{}/n", "a".repeat(245));
        for text in [
            "/n",
            "Example.com/n",
            "-a/n",
            "a-/n",
            "a..b/n",
            "a_b/n",
            ".a/n",
            &long,
        ] {
            assert!(
                matches!(parse(text), Err(ResourceNameError::Vendor { .. })),
                "{text}"
            );
        }
        for text in [
            "kubernetes.io/n",
            "a.kubernetes.io/n",
            "requests.example.com/n",
        ] {
            assert!(
                matches!(parse(text), Err(ResourceNameError::Reserved { .. })),
                "{text}"
            );
        }
        let long = format!("a/{}", "n".repeat(64));
        for text in [
            "a/", "a/-n", "a/n-", "a/n_", "a/.n", "a/n n", "a/\u{e9}", &long,
        ] {
            assert!(
                matches!(parse(text), Err(ResourceNameError::Name { .. })),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            if let Ok(name) = parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }

        #[test]
        fn valid_names_come_back(
            vendor in "[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?(\\.[a-z0-9]{1,8}){0,3}",
            name in "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?",
        ) {
            prop_assume!(!vendor.starts_with("requests."));
            let text = format!("{vendor}/{name}");
            let parsed = parse(&text).unwrap();
            prop_assert_eq!(parsed.vendor(), vendor);
            prop_assert_eq!(parsed.name(), name);
            prop_assert_eq!(parsed.to_string(), text);
            prop_assert!(!parsed.socket_name().contains('/'));
        }
    }
}
