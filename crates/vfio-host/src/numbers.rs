//! The numbers that tell a device node's device.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;
use sysfs_pci::decimal;

/// The numbers of a device: `243:0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct DeviceNumbers {
    /// The major number: the driver.
    pub major: u32,
    /// The minor number: the device of that driver.
    pub minor: u32,
}

impl DeviceNumbers {
    /// Parses the content of a `dev` file in sysfs: two decimal numbers with `:` between.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once(':')?;
        Some(Self {
            major: decimal(major)?,
            minor: decimal(minor)?,
        })
    }
}

impl Display for DeviceNumbers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_two_decimal_numbers_are_device_numbers() {
        assert_eq!(
            DeviceNumbers::parse("243:0"),
            Some(DeviceNumbers {
                major: 243,
                minor: 0
            })
        );
        for text in [
            "",
            ":",
            "243",
            "243:",
            ":0",
            "+1:3",
            "1:3:5",
            "1:-3",
            "4294967296:0",
            "1: 3",
            "01:3",
            "1:03",
        ] {
            assert_eq!(DeviceNumbers::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(major: u32, minor: u32) {
            let numbers = DeviceNumbers { major, minor };
            prop_assert_eq!(DeviceNumbers::parse(&numbers.to_string()), Some(numbers));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,30}") {
            let _numbers = DeviceNumbers::parse(&text);
        }
    }
}
