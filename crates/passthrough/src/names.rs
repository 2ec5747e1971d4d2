//! Names of environment variables.

use std::collections::BTreeSet;

use device_plugin::ResourceName;

/// The variable in which KubeVirt's virt-launcher looks for the addresses.
///
/// KubeVirt computes it in `ResourceNameToEnvVar` (pkg/util/util.go) with the prefix
/// `PCI_RESOURCE`. A dash stays.
///
/// ```
/// let resource = "example.com/fast-nic".parse()?;
/// assert_eq!(passthrough::kubevirt_variable(&resource), "PCI_RESOURCE_EXAMPLE_COM_FAST-NIC");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn kubevirt_variable(resource: &ResourceName) -> String {
    variable("PCI_RESOURCE", resource)
}

/// The variable in which KubeVirt looks for mediated devices. This crate never sets it.
pub(crate) fn mdev_variable(resource: &ResourceName) -> String {
    variable("MDEV_PCI_RESOURCE", resource)
}

/// The variable in which images made for the SR-IOV network device plugin look for the addresses,
/// and the only one that Kata's agent translates to the guest's addresses. A dash stays.
///
/// ```
/// let resource = "example.com/fast-nic".parse()?;
/// assert_eq!(passthrough::sriov_variable(&resource), "PCIDEVICE_EXAMPLE_COM_FAST-NIC");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sriov_variable(resource: &ResourceName) -> String {
    variable("PCIDEVICE", resource)
}

/// [`sriov_variable`] with `_` for `-`, if there is a dash: the name of a shell variable has none
/// (POSIX.1-2017, XBD 3.235).
///
/// ```
/// let resource = "example.com/fast-nic".parse()?;
/// assert_eq!(
///     passthrough::sriov_shell_variable(&resource).as_deref(),
///     Some("PCIDEVICE_EXAMPLE_COM_FAST_NIC")
/// );
/// assert_eq!(passthrough::sriov_shell_variable(&"example.com/fast".parse()?), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sriov_shell_variable(resource: &ResourceName) -> Option<String> {
    let name = sriov_variable(resource);
    name.contains('-').then(|| name.replace('-', "_"))
}

/// The variable that holds what is known of each function, as JSON.
pub fn sriov_info_variable(resource: &ResourceName) -> String {
    format!("{}_INFO", sriov_variable(resource))
}

/// A variable that both resources would set, if there is one.
///
/// `example.com/a.b` and `example.com/a_b` are two resources with one set of names. A container
/// that asks for both would learn the addresses of one of them only.
///
/// ```
/// let (dot, score) = ("example.com/a.b".parse()?, "example.com/a_b".parse()?);
/// assert_eq!(passthrough::clash(&dot, &score).as_deref(), Some("PCIDEVICE_EXAMPLE_COM_A_B"));
/// assert_eq!(passthrough::clash(&dot, &"example.com/c".parse()?), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn clash(one: &ResourceName, other: &ResourceName) -> Option<String> {
    let names = all(one);
    all(other).into_iter().find(|name| names.contains(name))
}

/// Every variable that a resource sets, but for the numbered ones.
fn all(resource: &ResourceName) -> BTreeSet<String> {
    [
        kubevirt_variable(resource),
        sriov_variable(resource),
        sriov_info_variable(resource),
    ]
    .into_iter()
    .chain(sriov_shell_variable(resource))
    .collect()
}

fn variable(prefix: &str, resource: &ResourceName) -> String {
    let name = resource
        .to_string()
        .to_ascii_uppercase()
        .replace(['/', '.'], "_");
    format!("{prefix}_{name}")
}

#[cfg(test)]
mod tests {
    use device_plugin::ResourceName;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{
        clash, kubevirt_variable, sriov_info_variable, sriov_shell_variable, sriov_variable,
    };

    fn resource(text: &str) -> ResourceName {
        text.parse().unwrap()
    }

    /// KubeVirt's rule, case by case: upper case, `/` and `.` become `_`, the rest stays.
    #[test]
    fn kubevirts_names() {
        for (name, expected) in [
            ("example.com/cy", "PCI_RESOURCE_EXAMPLE_COM_CY"),
            (
                "vendor.example.com/sym-dc",
                "PCI_RESOURCE_VENDOR_EXAMPLE_COM_SYM-DC",
            ),
            (
                "vendor.com/hostdev_name0",
                "PCI_RESOURCE_VENDOR_COM_HOSTDEV_NAME0",
            ),
            ("my-vendor.com/x", "PCI_RESOURCE_MY-VENDOR_COM_X"),
            (
                "example.com/Mixed.Case-9",
                "PCI_RESOURCE_EXAMPLE_COM_MIXED_CASE-9",
            ),
        ] {
            assert_eq!(kubevirt_variable(&resource(name)), expected);
        }
    }

    #[test]
    fn the_other_families() {
        let dashed = resource("example.com/sym-dc");
        assert_eq!(sriov_variable(&dashed), "PCIDEVICE_EXAMPLE_COM_SYM-DC");
        assert_eq!(
            sriov_info_variable(&dashed),
            "PCIDEVICE_EXAMPLE_COM_SYM-DC_INFO"
        );
        assert_eq!(
            sriov_shell_variable(&dashed).as_deref(),
            Some("PCIDEVICE_EXAMPLE_COM_SYM_DC")
        );
        assert_eq!(sriov_shell_variable(&resource("example.com/sym_dc")), None);
    }

    #[test]
    fn names_that_clash_are_found() {
        for (one, other, variable) in [
            (
                "example.com/a.b",
                "example.com/a_b",
                "PCIDEVICE_EXAMPLE_COM_A_B",
            ),
            ("example.com/a", "example.com/A", "PCIDEVICE_EXAMPLE_COM_A"),
            // Only the name for the shell clashes.
            (
                "example.com/a-b",
                "example.com/a_b",
                "PCIDEVICE_EXAMPLE_COM_A_B",
            ),
            // A list against the other's JSON.
            (
                "example.com/a_info",
                "example.com/a",
                "PCIDEVICE_EXAMPLE_COM_A_INFO",
            ),
        ] {
            let (one, other) = (resource(one), resource(other));
            assert_eq!(clash(&one, &other).as_deref(), Some(variable));
            assert_eq!(clash(&other, &one).as_deref(), Some(variable));
        }
        for (one, other) in [
            ("example.com/sym", "example.com/dc"),
            ("example.com/a-b", "example.com/a-c"),
            ("example.com/a", "example.org/a"),
        ] {
            assert_eq!(clash(&resource(one), &resource(other)), None);
        }
    }

    proptest! {
        /// Written after the Go code, to be compared with ours.
        #[test]
        fn any_name_is_spelled_as_kubevirt_does(
            vendor in "[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4})?(\\.[a-z][a-z0-9]{0,5}){1,3}",
            name in "[A-Za-z]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9])?",
        ) {
            let text = format!("{vendor}/{name}");
            let upper = text.to_uppercase();
            let varname = upper.replace('/', "_");
            let varname = varname.replace('.', "_");
            let resource = resource(&text);
            prop_assert_eq!(kubevirt_variable(&resource), format!("PCI_RESOURCE_{varname}"));
            let shell = sriov_shell_variable(&resource).unwrap_or(sriov_variable(&resource));
            prop_assert!(shell.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{}", shell);
        }
    }
}
