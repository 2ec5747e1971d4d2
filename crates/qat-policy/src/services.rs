//! Sets of services.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::service::Service;

/// A non-empty set of services.
///
/// As text it is what the kernel writes: words separated by `;` without blanks. Any order is read,
/// the canonical one is printed. Comparing sets rather than texts matters: an older kernel returns
/// `sym;asym` where a newer one returns `asym;sym`.
///
/// ```
/// use qat_policy::ServiceSet;
///
/// let set: ServiceSet = "sym;asym".parse()?;
/// assert_eq!(set, "asym;sym".parse()?);
/// assert_eq!(set.to_string(), "asym;sym");
/// # Ok::<(), qat_policy::ServiceSetError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ServiceSet(u8);

/// The services of a PF, as a set and in the words that were read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Services {
    /// What the device does.
    pub set: ServiceSet,
    /// The text that said so, trimmed: its order is the one
    /// [`ResourceNames::AsRead`](crate::ResourceNames::AsRead) keeps.
    pub as_read: String,
}

/// Why a text is not a set of services.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceSetError {
    /// The text is empty or has nothing between two separators.
    #[error(
        "a service is missing in `{text}`; expected words separated by `;`, such as `sym;asym`"
    )]
    Missing {
        /// The whole text.
        text: String,
    },
    /// A word is not the name of a service.
    #[error("unknown service `{word}`; known are: asym, sym, dc, dcc, decomp")]
    Unknown {
        /// The word.
        word: String,
    },
    /// A service is named twice.
    #[error("service `{service}` is named twice")]
    Twice {
        /// The service.
        service: Service,
    },
}

// === impl ServiceSet ===

impl ServiceSet {
    /// Both kinds of cryptography: the pool `cy`.
    pub const CRYPTO: Self = Self(Service::Asym.bit() | Service::Sym.bit());

    /// Makes a set of services; `None` if there are none. A service that comes twice counts once.
    pub fn new(services: impl IntoIterator<Item = Service>) -> Option<Self> {
        let bits = services
            .into_iter()
            .fold(0, |bits, service| bits | service.bit());
        (bits != 0).then_some(Self(bits))
    }

    /// Tells whether a service is in the set.
    pub const fn contains(self, service: Service) -> bool {
        self.0 & service.bit() != 0
    }

    /// Returns the number of services, at least 1.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a set of services is never empty"
    )]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Iterates over the services in canonical order.
    pub fn iter(self) -> impl Iterator<Item = Service> {
        Service::ALL
            .into_iter()
            .filter(move |service| self.contains(*service))
    }

    /// Iterates over every set there is.
    pub(crate) fn every() -> impl Iterator<Item = Self> {
        (1..1 << Service::ALL.len()).map(Self)
    }

    fn from_words(text: &str, words: &[&str]) -> Result<Self, ServiceSetError> {
        let mut bits = 0;
        for &word in words {
            if word.is_empty() {
                return Err(ServiceSetError::Missing {
                    text: text.to_owned(),
                });
            }
            let service: Service = word.parse()?;
            if bits & service.bit() != 0 {
                return Err(ServiceSetError::Twice { service });
            }
            bits |= service.bit();
        }
        Ok(Self(bits))
    }
}

impl fmt::Display for ServiceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Service::as_str).collect();
        f.pad(&words.join(";"))
    }
}

impl fmt::Debug for ServiceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromStr for ServiceSet {
    type Err = ServiceSetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_words(text, &text.split(';').collect::<Vec<_>>())
    }
}

impl From<ServiceSet> for String {
    fn from(set: ServiceSet) -> Self {
        set.to_string()
    }
}

impl TryFrom<String> for ServiceSet {
    type Error = ServiceSetError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

// === impl Services ===

impl Services {
    /// Reads the content of `qat/cfg_services`. White space around the text does not matter.
    ///
    /// # Errors
    ///
    /// As for parsing a [`ServiceSet`].
    pub fn parse(text: &str) -> Result<Self, ServiceSetError> {
        let text = text.trim();
        Ok(Self {
            set: text.parse()?,
            as_read: text.to_owned(),
        })
    }

    /// Reads the value of `ServicesEnabled` in `dev_cfg`. Intel's driver package writes `cy` for
    /// both kinds of cryptography there (`ADF_SERVICE_CY`).
    pub(crate) fn parse_dev_cfg(value: &str) -> Result<Self, ServiceSetError> {
        let text = value.trim();
        let expanded: Vec<&str> = text
            .split(';')
            .flat_map(|word| {
                if word == "cy" {
                    vec!["asym", "sym"]
                } else {
                    vec![word]
                }
            })
            .collect();
        Ok(Self {
            set: ServiceSet::from_words(text, &expanded)?,
            as_read: text.to_owned(),
        })
    }
}

impl fmt::Display for Services {
    /// Prints the set in canonical order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.set.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn any_order_reads_as_the_canonical_one() {
        for (text, canonical) in [
            ("sym;asym", "asym;sym"),
            ("asym;sym", "asym;sym"),
            ("dc", "dc"),
            ("dc;sym", "sym;dc"),
            ("dc;asym", "asym;dc"),
            ("dcc", "dcc"),
            ("decomp;dc;sym;asym", "asym;sym;dc;decomp"),
        ] {
            let set: ServiceSet = text.parse().unwrap();
            assert_eq!(set.to_string(), canonical);
            assert_eq!(set.len(), text.split(';').count());
        }
    }

    #[test]
    fn what_is_no_set() {
        for text in ["", ";", "sym;", ";sym", "sym;;dc"] {
            assert_eq!(
                text.parse::<ServiceSet>(),
                Err(ServiceSetError::Missing {
                    text: text.to_owned()
                })
            );
        }
        for (text, word) in [
            ("cy", "cy"),
            ("sym; dc", " dc"),
            ("SYM", "SYM"),
            ("sym,dc", "sym,dc"),
        ] {
            assert_eq!(
                text.parse::<ServiceSet>(),
                Err(ServiceSetError::Unknown {
                    word: word.to_owned()
                })
            );
        }
        assert_eq!(
            "dc;dc".parse::<ServiceSet>(),
            Err(ServiceSetError::Twice {
                service: Service::Dc
            })
        );
        assert_eq!(ServiceSet::new([]), None);
    }

    #[test]
    fn what_was_read_is_kept() {
        let services = Services::parse(" dc;sym\n").unwrap();
        assert_eq!(
            (services.as_read.as_str(), services.to_string().as_str()),
            ("dc;sym", "sym;dc")
        );
    }

    #[test]
    fn the_driver_package_says_cy() {
        let services = Services::parse_dev_cfg("cy;dc").unwrap();
        assert_eq!(
            (services.as_read.as_str(), services.to_string().as_str()),
            ("cy;dc", "asym;sym;dc")
        );
        assert_eq!(
            Services::parse_dev_cfg("cy;sym"),
            Err(ServiceSetError::Twice {
                service: Service::Sym
            })
        );
        assert!(Services::parse("cy").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            if let Ok(set) = text.parse::<ServiceSet>() {
                prop_assert_eq!(set.len(), text.split(';').count());
            }
            if let Ok(services) = Services::parse_dev_cfg(&text) {
                prop_assert_eq!(services.as_read, text.trim());
            }
        }

        #[test]
        fn order_is_forgotten(words in prop::sample::subsequence(Service::all(), 1..=5).prop_shuffle()) {
            let text: Vec<&str> = words.iter().map(|service| service.as_str()).collect();
            let set: ServiceSet = text.join(";").parse().unwrap();
            prop_assert_eq!(Some(set), ServiceSet::new(words.iter().copied()));
            prop_assert_eq!(set.to_string().parse::<ServiceSet>().unwrap(), set);
            let mut sorted = words.clone();
            sorted.sort();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), sorted);
        }
    }
}
