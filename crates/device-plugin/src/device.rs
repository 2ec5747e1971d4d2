//! One device.

use serde::{Deserialize, Serialize};
use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
    sync::Arc,
};

/// The name of a device towards the kubelet: 1 to 63 printable ASCII characters, no spaces.
///
/// The kubelet keeps the IDs of what is in use in a file, across its own restarts and those of
/// the plugin. An ID must mean the same device for ever, and no two resources of a node may
/// share one. It is cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId(Arc<str>);

/// Why a text is not the ID of a device.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("device ID `{}` is not 1 to 63 printable ASCII characters", text.escape_debug())]
pub struct DeviceIdError {
    /// What was given.
    pub text: String,
}

/// Whether a device may be given to a container.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Health {
    /// It may.
    Healthy,
    /// It exists, but may not. Containers that hold it already are left alone.
    Unhealthy,
}

/// One device, as the kubelet is told about it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub id: DeviceId,
    /// Whether it may be given to a container.
    pub health: Health,
    /// The NUMA nodes that are near to it, as the kernel counts them. None means no preference.
    pub numa_nodes: Vec<u32>,
}

impl Device {
    /// Returns a healthy device that is near to no NUMA node in particular.
    pub fn healthy(id: DeviceId) -> Self {
        Self {
            id,
            health: Health::Healthy,
            numa_nodes: Vec::new(),
        }
    }
}

impl DeviceId {
    /// The most characters of an ID. The kubelet states this limit, but does not enforce it.
    pub const MAX_LENGTH: usize = 63;

    /// Returns the ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if printable && (1..=Self::MAX_LENGTH).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            let text = text.to_owned();
            Err(DeviceIdError { text })
        }
    }
}

impl TryFrom<String> for DeviceId {
    type Error = DeviceIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.as_str().to_owned()
    }
}

impl Display for DeviceId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits() {
        assert!("a".repeat(63).parse::<DeviceId>().is_ok());
        for text in ["", "a b", "a\n", "\u{e9}", &"a".repeat(64)] {
            let error = text.parse::<DeviceId>().unwrap_err();
            assert_eq!(error.text, text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,70}") {
            if let Ok(id) = text.parse::<DeviceId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn valid_ids_come_back(text in "[!-~]{1,63}") {
            let id: DeviceId = text.parse().unwrap();
            prop_assert_eq!(String::from(id), text);
        }
    }
}
