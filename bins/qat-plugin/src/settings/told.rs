//! A value that holds, and where it is from.

/// A value that holds, and where it is from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    /// Its key in the configuration file.
    pub(crate) key: &'static str,
    /// The value, for people.
    pub(crate) value: String,
    /// A flag, a variable, the file or the default.
    pub(crate) from: String,
    /// Whether another value takes hold only when the daemon starts anew.
    pub(crate) takes_a_restart: bool,
}

/// Keys whose values take hold while the daemon runs.
const AT_ONCE: [&str; 3] = [
    "offer.maxDevices",
    "offer.allocationPolicy",
    "offer.resourceNames",
];

impl Told {
    /// Notes a value of the daemon.
    pub(crate) fn new(key: &'static str, value: String, from: String) -> Self {
        let takes_a_restart = !AT_ONCE.contains(&key) && !key.starts_with("health.");
        Self {
            key,
            value,
            from,
            takes_a_restart,
        }
    }
}
