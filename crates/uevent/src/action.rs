//! The words of a uevent: what happened, and what error recovery did.

use std::fmt::{self, Display, Formatter};

/// What happened to the device: the word before `@` in the header.
///
/// The words are those of `kobject_actions` in `lib/kobject_uevent.c`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// The device was added to the kernel's tree.
    Add,
    /// The device is gone.
    Remove,
    /// Something about the device changed; the keys may say what.
    Change,
    /// The device was renamed or has another parent.
    Move,
    /// The device (a CPU, a memory block) was brought online.
    Online,
    /// The device was taken offline.
    Offline,
    /// A driver was bound to the device.
    Bind,
    /// The driver was unbound from the device.
    Unbind,
    /// A word that this crate does not know. Never one of the words above.
    Other(String),
}

impl Action {
    /// The word as the kernel writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Change => "change",
            Self::Move => "move",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Bind => "bind",
            Self::Unbind => "unbind",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for Action {
    fn from(word: &str) -> Self {
        match word {
            "add" => Self::Add,
            "remove" => Self::Remove,
            "change" => Self::Change,
            "move" => Self::Move,
            "online" => Self::Online,
            "offline" => Self::Offline,
            "bind" => Self::Bind,
            "unbind" => Self::Unbind,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What PCI error recovery did: the key `ERROR_EVENT` of a `change` event
/// (`pci_uevent_ers` in `drivers/pci/pci-driver.c`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorEvent {
    /// `BEGIN_RECOVERY`: an error was reported, the device is off-line for now.
    BeginRecovery,
    /// `SUCCESSFUL_RECOVERY`: the device works again.
    SuccessfulRecovery,
    /// `FAILED_RECOVERY`: the device stays off-line.
    FailedRecovery,
    /// A word that this crate does not know. Never one of the words above.
    Other(String),
}

impl ErrorEvent {
    /// The word as the kernel writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::BeginRecovery => "BEGIN_RECOVERY",
            Self::SuccessfulRecovery => "SUCCESSFUL_RECOVERY",
            Self::FailedRecovery => "FAILED_RECOVERY",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for ErrorEvent {
    fn from(word: &str) -> Self {
        match word {
            "BEGIN_RECOVERY" => Self::BeginRecovery,
            "SUCCESSFUL_RECOVERY" => Self::SuccessfulRecovery,
            "FAILED_RECOVERY" => Self::FailedRecovery,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Display for ErrorEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
