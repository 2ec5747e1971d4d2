//! The debugfs file `dev_cfg`.
//!
//! `/sys/kernel/debug/qat_<driver>_<address>/dev_cfg` prints the driver's configuration as sections
//! and keys (`Documentation/ABI/testing/debugfs-driver-qat`, `adf_cfg.c`):
//!
//! ```text
//! [GENERAL]
//! ServicesEnabled = sym;asym
//! [KERNEL]
//! NumberCyInstances = 0
//! ```
//!
//! A `;` within a line is part of the value, not the start of a comment.

/// Finds the value of `ServicesEnabled` in section `GENERAL`, trimmed. The last one counts if there
/// are several.
pub(crate) fn services_enabled(text: &str) -> Option<&str> {
    let mut general = false;
    let mut value = None;
    for line in text
        .lines()
        .map(|line| line.trim_matches(|c: char| c.is_whitespace() || c == '\0'))
    {
        if let Some(section) = line.strip_prefix('[') {
            general = section
                .split_once(']')
                .is_some_and(|(name, _)| name.trim() == "GENERAL");
        } else if general
            && let Some((key, rest)) = line.split_once('=')
            && key.trim() == "ServicesEnabled"
        {
            value = Some(rest.trim());
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn value_with_separators() {
        let text =
            "[GENERAL]\nServicesEnabled = sym;asym\nOther = 1\n[KERNEL]\nNumberCyInstances = 0\n";
        assert_eq!(services_enabled(text), Some("sym;asym"));
    }

    #[test]
    fn forms() {
        for (text, value) in [
            ("[GENERAL]\nServicesEnabled=dc", Some("dc")),
            (
                "[ GENERAL ]\r\n\tServicesEnabled\t=\tdc\t\r\n\0",
                Some("dc"),
            ),
            (
                "[A]\nx = 1\n[GENERAL]\n\nServicesEnabled = sym;dc\n",
                Some("sym;dc"),
            ),
            ("[GENERAL]\nServicesEnabled =\n", Some("")),
            (
                "[GENERAL]\nServicesEnabled = a\nServicesEnabled = b\n",
                Some("b"),
            ),
            (
                "[GENERAL]\n;ServicesEnabled = dc\n#ServicesEnabled = dc\n",
                None,
            ),
            ("[KERNEL]\nServicesEnabled = dc\n", None),
            ("[GENERAL]\n[KERNEL]\nServicesEnabled = dc\n", None),
            ("ServicesEnabled = dc\n", None),
            ("[GENERAL\nServicesEnabled = dc\n", None),
            ("[GENERAL]\nServicesEnabled\n", None),
            ("", None),
        ] {
            assert_eq!(services_enabled(text), value, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>()) {
            let _value: Option<&str> = services_enabled(&text);
        }

        #[test]
        fn never_panics_on_what_looks_right(text in "([\\[\\]=; \n\0]|GENERAL|ServicesEnabled|dc){0,40}") {
            if let Some(value) = services_enabled(&text) {
                prop_assert_eq!(value.trim(), value);
            }
        }

        #[test]
        fn finds_what_was_written(value in "[a-z;]{0,20}", before in "([A-Z][a-z]{0,8} = [0-9;]{0,5}\n){0,5}") {
            let text = format!("[ACCEL]\nServicesEnabled = wrong\n[GENERAL]\n{before}ServicesEnabled = {value}\n[KERNEL]\nx = y\n");
            prop_assert_eq!(services_enabled(&text), Some(value.as_str()));
        }
    }
}
