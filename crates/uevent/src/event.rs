//! One event, and the parser of its datagram.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use crate::{Action, ErrorEvent, ParseError};

/// How `udevd` marks its own messages (`systemd`, `src/libsystemd/sd-device/device-monitor.c`).
const UDEV_PREFIX: &[u8] = b"libudev";
/// Characters of a bad header that an error shows.
const SHOWN: usize = 80;

/// One kernel event.
///
/// The kernel sends at most 64 keys in 2048 bytes (`include/linux/kobject.h`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uevent {
    action: Action,
    devpath: String,
    vars: BTreeMap<String, String>,
}

impl Uevent {
    /// Parses one datagram of the kernel's uevent group.
    ///
    /// The header alone says action and path; the keys `ACTION` and `DEVPATH` repeat them and are
    /// kept among the [`vars`](Self::vars) as they came. Fields that are empty, have no `=` or have
    /// nothing before it are skipped. Of a key that comes twice the last value counts, as in udev.
    /// Bytes that are not UTF-8 become U+FFFD. A missing NUL at the end is accepted.
    ///
    /// # Errors
    ///
    /// [`ParseError::Empty`], [`ParseError::FromUdev`] and [`ParseError::Header`], as they say.
    ///
    /// # Examples
    ///
    /// ```
    /// use uevent::{Action, Uevent};
    ///
    /// let event = Uevent::parse(
    ///     b"add@/devices/virtual/vfio/320\0ACTION=add\0SUBSYSTEM=vfio\0DEVNAME=vfio/320\0SEQNUM=7\0",
    /// )?;
    /// assert_eq!(event.action(), &Action::Add);
    /// assert_eq!(event.dev_name(), Some("vfio/320"));
    /// assert_eq!(event.seqnum(), Some(7));
    /// # Ok::<(), uevent::ParseError>(())
    /// ```
    pub fn parse(datagram: &[u8]) -> Result<Self, ParseError> {
        if datagram.is_empty() {
            return Err(ParseError::Empty);
        }
        if datagram.starts_with(UDEV_PREFIX) {
            return Err(ParseError::FromUdev);
        }
        let mut fields = datagram
            .split(|byte| *byte == 0)
            .map(String::from_utf8_lossy);
        let header = fields.next().unwrap_or_default();
        let (action, devpath) = header
            .split_once('@')
            .filter(|(action, devpath)| !action.is_empty() && devpath.starts_with('/'))
            .ok_or_else(|| ParseError::Header {
                header: header
                    .chars()
                    .take(SHOWN)
                    .flat_map(char::escape_debug)
                    .collect(),
            })?;
        let vars = fields
            .filter_map(|field| {
                let (key, value) = field.split_once('=')?;
                (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
            })
            .collect();
        Ok(Self {
            action: Action::from(action),
            devpath: devpath.to_owned(),
            vars,
        })
    }

    /// What happened.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The device's directory, relative to the sysfs mount although it starts with `/`.
    pub fn devpath(&self) -> &str {
        &self.devpath
    }

    /// The subsystem (`pci`, `vfio`, `vfio-dev`, `module`): key `SUBSYSTEM`.
    pub fn subsystem(&self) -> Option<&str> {
        self.var("SUBSYSTEM")
    }

    /// The value of one key. It may be empty.
    pub fn var(&self, key: &str) -> Option<&str> {
        self.vars.get(key).map(String::as_str)
    }

    /// All keys and values, in the order of the keys.
    pub fn vars(&self) -> impl Iterator<Item = (&str, &str)> {
        self.vars
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The PCI address, as the kernel writes it (`0000:6b:00.1`): key `PCI_SLOT_NAME`.
    pub fn pci_slot_name(&self) -> Option<&str> {
        self.var("PCI_SLOT_NAME")
    }

    /// PCI vendor and device: key `PCI_ID`, four hexadecimal digits each (`8086:1520`).
    ///
    /// `None` also when the key's value has another form.
    pub fn pci_id(&self) -> Option<(u16, u16)> {
        let (vendor, device) = self.var("PCI_ID")?.split_once(':')?;
        Some((hex4(vendor)?, hex4(device)?))
    }

    /// The driver that is bound: key `DRIVER`. Absent where there is none, and on `unbind`.
    pub fn driver(&self) -> Option<&str> {
        self.var("DRIVER")
    }

    /// The device node, relative to `/dev` (`vfio/320`, `vfio/devices/vfio0`): key `DEVNAME`.
    pub fn dev_name(&self) -> Option<&str> {
        self.var("DEVNAME")
    }

    /// What PCI error recovery did: key `ERROR_EVENT`.
    pub fn error_event(&self) -> Option<ErrorEvent> {
        self.var("ERROR_EVENT").map(ErrorEvent::from)
    }

    /// Whether PCI error recovery left the device on-line: key `DEVICE_ONLINE`, `0` or `1`.
    pub fn device_online(&self) -> Option<bool> {
        match self.var("DEVICE_ONLINE")? {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        }
    }

    /// The event's number: key `SEQNUM`. It counts all events since boot, those that this socket is
    /// not told of included, so a gap does not mean a loss.
    pub fn seqnum(&self) -> Option<u64> {
        self.var("SEQNUM")?.parse().ok()
    }

    /// Whether a person or program asked for this event by writing to a `uevent` file in sysfs: key
    /// `SYNTH_UUID` (`Documentation/ABI/testing/sysfs-uevent`). `udevadm trigger` does that for
    /// every device at once.
    pub fn is_synthetic(&self) -> bool {
        self.vars.contains_key("SYNTH_UUID")
    }
}

impl Display for Uevent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.action, self.devpath)
    }
}

fn hex4(text: &str) -> Option<u16> {
    (text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| u16::from_str_radix(text, 16).ok())
        .flatten()
}
