//! Texts as the kernel's parsers take them (`lib/kstrtox.c`, `lib/string_helpers.c`).

use std::str;

use rustix::io::Errno;
use sysfs_pci::PciAddress;

/// A word with or without one newline at its end, as `sysfs_streq` compares.
pub(super) fn word(bytes: &[u8]) -> Option<&str> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    str::from_utf8(bytes).ok()
}

/// `kstrtobool`: it looks at one character, after an `o` at two.
pub(super) fn boolean(bytes: &[u8]) -> Result<bool, Errno> {
    match bytes {
        [b'y' | b'Y' | b't' | b'T' | b'1', ..] | [b'o' | b'O', b'n' | b'N', ..] => Ok(true),
        [b'n' | b'N' | b'f' | b'F' | b'0', ..] | [b'o' | b'O', b'f' | b'F', ..] => Ok(false),
        _ => Err(Errno::INVAL),
    }
}

/// `kstrtou16` with base 0: decimal, `0x` or a leading 0 for octal, and one newline.
pub(super) fn number(bytes: &[u8]) -> Result<u16, Errno> {
    let text = word(bytes).ok_or(Errno::INVAL)?;
    let text = text.strip_prefix('+').unwrap_or(text);
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, base) = match (hex, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    if !digits.chars().all(|digit| digit.is_digit(base)) {
        return Err(Errno::INVAL);
    }
    u16::from_str_radix(digits, base).map_err(|_error| Errno::INVAL)
}

/// The name of a function, whole and as the kernel writes it.
pub(super) fn address(bytes: &[u8]) -> Result<PciAddress, Errno> {
    let text = word(bytes).ok_or(Errno::NODEV)?;
    let address: PciAddress = text.parse().map_err(|_error| Errno::NODEV)?;
    if address.to_string() == text {
        Ok(address)
    } else {
        Err(Errno::NODEV)
    }
}

/// What `driver_override` makes of a text: all up to a newline or a NUL; nothing of that is a
/// request to clear it.
pub(super) fn driver_override(bytes: &[u8]) -> Result<Option<String>, Errno> {
    // PAGE_SIZE - 1 (driver_set_override).
    if bytes.len() >= 4095 {
        return Err(Errno::INVAL);
    }
    let ends = |byte: &u8| matches!(byte, b'\n' | 0);
    let kept = bytes.split(ends).next().unwrap_or(&[]);
    let text = String::from_utf8_lossy(kept);
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_kstrtou16() {
        for (text, number) in [
            ("16", 16),
            ("16\n", 16),
            ("0", 0),
            ("+7", 7),
            ("0x10", 16),
            ("010", 8),
        ] {
            assert_eq!(super::number(text.as_bytes()), Ok(number), "{text:?}");
        }
        for text in [
            "", "\n", "-1", "16 ", "16\n\n", "65536", "0x", "08", "all", "++1", "0x+1",
        ] {
            assert_eq!(number(text.as_bytes()), Err(Errno::INVAL), "{text:?}");
        }
    }

    #[test]
    fn booleans_are_those_of_kstrtobool() {
        for text in ["1", "y", "Yes", "on\n", "ON", "true"] {
            assert_eq!(boolean(text.as_bytes()), Ok(true), "{text:?}");
        }
        for text in ["0\n", "n", "off", "Off\n", "false"] {
            assert_eq!(boolean(text.as_bytes()), Ok(false), "{text:?}");
        }
        for text in ["", "\n", "o", "2", "enable"] {
            assert_eq!(boolean(text.as_bytes()), Err(Errno::INVAL), "{text:?}");
        }
    }

    #[test]
    fn an_override_ends_at_its_line() {
        for (text, kept) in [
            ("vfio-pci\n", Some("vfio-pci")),
            ("vfio-pci", Some("vfio-pci")),
            ("none\nrest", Some("none")),
            ("none\0rest", Some("none")),
            ("\n", None),
            ("\0", None),
        ] {
            let found = driver_override(text.as_bytes()).unwrap();
            assert_eq!(found.as_deref(), kept, "{text:?}");
        }
        assert_eq!(driver_override(&[b'a'; 4094]).unwrap().unwrap().len(), 4094);
        assert_eq!(driver_override(&[b'a'; 4095]), Err(Errno::INVAL));
    }

    #[test]
    fn an_address_is_whole_and_in_lower_case() {
        assert!(address(b"0000:6b:00.1\n").is_ok());
        for text in [
            "6b:00.1",
            "0000:6B:00.1",
            " 0000:6b:00.1",
            "0000:6b:00.1\n\n",
            "",
        ] {
            assert_eq!(address(text.as_bytes()), Err(Errno::NODEV), "{text:?}");
        }
    }
}
