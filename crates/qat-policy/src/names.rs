//! Names of pools.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::selector::{Selector, Traits};
use crate::services::{ServiceSet, Services};

/// How the services of a pool are spelled in its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceNames {
    /// In canonical order (asym, sym, dc, dcc, decomp): one configuration, one name, on every
    /// kernel.
    #[default]
    Canonical,
    /// In the order in which they were read, as Intel's Go plugin does. `dc;sym` and `sym;dc` are
    /// then two names for one configuration, and which one it is depends on the kernel. For
    /// clusters whose pods already ask for such a name.
    AsRead,
}

/// How pools are called: by their services, unless the operator chooses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PoolNames {
    /// How services are spelled.
    pub spelling: ResourceNames,
    /// Pools that the operator made, with the VFs that each takes. The first that takes a VF has it.
    pub selected: Vec<(Selector, PoolName)>,
    /// Names that the operator chose, by the names that the services give.
    pub renamed: BTreeMap<PoolName, PoolName>,
}

/// The last part of a resource name: `cy`, `dc`, `sym-dc`, `generic`.
///
/// It follows Kubernetes' rules for the name part of a qualified name (letters, digits, `-`, `_`
/// and `.`, beginning and ending with a letter or digit, at most 63 characters), and begins with a
/// letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PoolName(String);

/// A text that cannot be the name of a pool.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{name}` cannot be the last part of a resource name: it must begin with a letter, end with a letter or digit, have \
     only letters, digits, `-`, `_` and `.`, and at most 63 of them"
)]
pub struct InvalidPoolName {
    /// The text.
    pub name: String,
}

/// A text that names no way of spelling resource names.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown spelling of resource names `{value}`; allowed are: canonical, as-read")]
pub struct UnknownResourceNames {
    /// The text.
    pub value: String,
}

/// Both names of one configuration; see [`spellings`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Spellings {
    /// The name under [`ResourceNames::Canonical`].
    pub canonical: PoolName,
    /// The name under [`ResourceNames::AsRead`].
    pub as_read: PoolName,
}

impl ResourceNames {
    /// Returns the value as it is written on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::AsRead => "as-read",
        }
    }
}

impl fmt::Display for ResourceNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ResourceNames {
    type Err = UnknownResourceNames;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Canonical, Self::AsRead]
            .into_iter()
            .find(|names| names.as_str() == text)
            .ok_or_else(|| UnknownResourceNames {
                value: text.to_owned(),
            })
    }
}

impl PoolNames {
    /// Names the pool of a VF.
    ///
    /// # Errors
    ///
    /// As [`pool_name`].
    pub fn of(&self, vf: &Traits<'_>) -> Result<PoolName, InvalidPoolName> {
        let mut selected = self.selected.iter();
        if let Some((_, name)) = selected.find(|(selector, _)| selector.takes(vf)) {
            return Ok(name.clone());
        }
        let usual = pool_name(vf.services, self.spelling)?;
        Ok(self.renamed.get(&usual).cloned().unwrap_or(usual))
    }
}

impl From<ResourceNames> for PoolNames {
    /// Calls no pool otherwise.
    fn from(spelling: ResourceNames) -> Self {
        Self {
            spelling,
            ..Self::default()
        }
    }
}

impl PoolName {
    /// Whether services can give this name, whatever they are and in whatever order they were read.
    #[must_use]
    pub fn is_of_services(&self) -> bool {
        let mut words = self.0.split('-');
        *self == Self::generic()
            || self.0 == "cy"
            || words.all(|word| word.parse::<ServiceSet>().is_ok())
    }

    /// Checks and takes a name.
    ///
    /// # Errors
    ///
    /// [`InvalidPoolName`] if it breaks the rules above.
    pub fn try_new(name: impl Into<String>) -> Result<Self, InvalidPoolName> {
        let name = name.into();
        let bytes = name.as_bytes();
        let starts = bytes.first().is_some_and(u8::is_ascii_alphabetic);
        let ends = bytes.last().is_some_and(u8::is_ascii_alphanumeric);
        let within = bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
        if starts && ends && within && bytes.len() <= 63 {
            Ok(Self(name))
        } else {
            Err(InvalidPoolName { name })
        }
    }

    /// Returns the pool of VFs whose services are not known or cannot be chosen: `generic`.
    pub fn generic() -> Self {
        Self("generic".to_owned())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for PoolName {
    type Err = InvalidPoolName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_new(text)
    }
}

impl From<PoolName> for String {
    fn from(name: PoolName) -> Self {
        name.0
    }
}

impl TryFrom<String> for PoolName {
    type Error = InvalidPoolName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::try_new(text)
    }
}

impl Spellings {
    /// Tells whether the name depends on [`ResourceNames`]: worth a line in the log.
    pub fn differ(&self) -> bool {
        self.canonical != self.as_read
    }
}

/// Names the pool for VFs with these services; `None` (not known, or nothing to choose) is
/// `generic`.
///
/// The words are joined with `-`, and both kinds of cryptography alone are `cy`, in either order.
/// So `dc;sym` is `sym-dc` in canonical order and `dc-sym` as read. The Go plugin replaces only the
/// first two separators; here every one is replaced, since a name with `;` could not be registered.
///
/// # Errors
///
/// [`InvalidPoolName`] if [`Services::as_read`] holds something that [`Services::parse`] would not
/// have let through.
pub fn pool_name(
    services: Option<&Services>,
    names: ResourceNames,
) -> Result<PoolName, InvalidPoolName> {
    let Some(services) = services else {
        return Ok(PoolName::generic());
    };
    let words = match names {
        ResourceNames::Canonical => services.set.to_string(),
        ResourceNames::AsRead => services.as_read.trim().to_owned(),
    };
    if words.parse() == Ok(ServiceSet::CRYPTO) {
        return PoolName::try_new("cy");
    }
    PoolName::try_new(words.replace(';', "-"))
}

/// Returns the name of a pool in both spellings, so that a log can show both where they
/// [differ](Spellings::differ).
///
/// # Errors
///
/// As [`pool_name`].
pub fn spellings(services: &Services) -> Result<Spellings, InvalidPoolName> {
    Ok(Spellings {
        canonical: pool_name(Some(services), ResourceNames::Canonical)?,
        as_read: pool_name(Some(services), ResourceNames::AsRead)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::service::Service;

    #[test]
    fn both_spellings() {
        for (text, canonical, as_read) in [
            ("sym;asym", "cy", "cy"),
            ("asym;sym", "cy", "cy"),
            ("dc", "dc", "dc"),
            ("sym", "sym", "sym"),
            ("asym", "asym", "asym"),
            ("dcc", "dcc", "dcc"),
            ("decomp", "decomp", "decomp"),
            ("sym;dc", "sym-dc", "sym-dc"),
            ("dc;sym", "sym-dc", "dc-sym"),
            ("asym;dc", "asym-dc", "asym-dc"),
            ("dc;asym", "asym-dc", "dc-asym"),
            ("sym;asym;dc", "asym-sym-dc", "sym-asym-dc"),
            ("asym;sym;dc", "asym-sym-dc", "asym-sym-dc"),
            ("asym;sym;decomp", "asym-sym-decomp", "asym-sym-decomp"),
            (
                "decomp;dc;sym;asym",
                "asym-sym-dc-decomp",
                "decomp-dc-sym-asym",
            ),
        ] {
            let both = spellings(&Services::parse(text).unwrap()).unwrap();
            assert_eq!(
                (both.canonical.as_str(), both.as_read.as_str()),
                (canonical, as_read),
                "{text}"
            );
            assert_eq!(both.differ(), canonical != as_read, "{text}");
        }
    }

    #[test]
    fn unknown_services_are_generic() {
        for names in [ResourceNames::Canonical, ResourceNames::AsRead] {
            assert_eq!(pool_name(None, names).unwrap(), PoolName::generic());
        }
    }

    #[test]
    fn as_read_is_validated() {
        for bad in ["", "sym;", "sym dc", ";", "sym/dc", "ä"] {
            let services = Services {
                set: ServiceSet::CRYPTO,
                as_read: bad.to_owned(),
            };
            assert!(
                pool_name(Some(&services), ResourceNames::AsRead).is_err(),
                "{bad}"
            );
            assert_eq!(
                pool_name(Some(&services), ResourceNames::Canonical)
                    .unwrap()
                    .as_str(),
                "cy"
            );
        }
    }

    #[test]
    fn names_of_pools() {
        let long = "a".repeat(63);
        for good in ["a", "cy", "sym-dc", "Pool_1.x", long.as_str()] {
            assert_eq!(good.parse::<PoolName>().unwrap().to_string(), good);
        }
        let too_long = "a".repeat(64);
        for bad in [
            "",
            "4xxx",
            "-a",
            "a-",
            "a.",
            "a b",
            "a;b",
            "a/b",
            "a\n",
            too_long.as_str(),
        ] {
            assert!(bad.parse::<PoolName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn spelling_on_the_command_line() {
        assert_eq!("as-read".parse(), Ok(ResourceNames::AsRead));
        assert_eq!("canonical".parse(), Ok(ResourceNames::Canonical));
        assert!(
            "asread"
                .parse::<ResourceNames>()
                .unwrap_err()
                .to_string()
                .ends_with("canonical, as-read")
        );
    }

    proptest! {
        #[test]
        fn never_panics_and_keeps_what_it_takes(text in ".{0,70}") {
            if let Ok(name) = PoolName::try_new(text.clone()) {
                prop_assert_eq!(name.as_str(), text.as_str());
            }
            let services = Services { set: ServiceSet::CRYPTO, as_read: text };
            drop(pool_name(Some(&services), ResourceNames::AsRead));
        }

        #[test]
        fn canonical_names_do_not_depend_on_the_order(words in prop::sample::subsequence(Service::all(), 1..=5).prop_shuffle()) {
            let text: Vec<&str> = words.iter().map(|service| service.as_str()).collect();
            let both = spellings(&Services::parse(&text.join(";")).unwrap()).unwrap();
            let sorted = ServiceSet::new(words).unwrap().to_string();
            prop_assert_eq!(both.canonical, spellings(&Services::parse(&sorted).unwrap()).unwrap().canonical);
        }
    }
}
