//! Names: of a device in CDI, and of the file that describes it.

use super::spec_error::SpecError;
use crate::{device::DeviceId, resource_name::ResourceName};

/// What a file is called last. Readers look at `.json` and `.yaml`.
pub(super) const EXTENSION: &str = "yaml";
/// The ending of a file that is being written. Readers pass over it.
pub(super) const UNFINISHED: &str = "cdi-new";
/// The most bytes of a file's name (`NAME_MAX` of Linux).
const NAME_MAX: usize = 255;

/// Returns the name under which a runtime looks up a device, `vendor.example/class=device`.
///
/// This is what [`ContainerEdits::cdi_devices`](crate::ContainerEdits::cdi_devices) takes.
///
/// ```
/// use device_plugin::cdi;
///
/// let name = cdi::qualified_name(&"example.com/port".parse()?, &"port-0".parse()?)?;
/// assert_eq!(name, "example.com/port=port-0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`SpecError::Vendor`], [`SpecError::Class`] and [`SpecError::Device`], since Kubernetes allows
/// names that CDI does not (`pkg/parser/parser.go` of CDI).
pub fn qualified_name(kind: &ResourceName, id: &DeviceId) -> Result<String, SpecError> {
    check_kind(kind)?;
    check_device(id)?;
    Ok(format!("{kind}={id}"))
}

/// Refuses a resource that is not a kind. What else CDI demands, a resource has anyway.
pub(super) fn check_kind(kind: &ResourceName) -> Result<(), SpecError> {
    let starts_with_letter =
        |text: &str| text.starts_with(|first: char| first.is_ascii_alphabetic());
    if !starts_with_letter(kind.vendor()) {
        let kind = kind.clone();
        return Err(SpecError::Vendor { kind });
    }
    if !starts_with_letter(kind.name()) {
        let kind = kind.clone();
        return Err(SpecError::Class { kind });
    }
    if unfinished_name(kind).len() > NAME_MAX {
        let kind = kind.clone();
        return Err(SpecError::FileName { kind });
    }
    Ok(())
}

/// Refuses an ID that is not a device name of CDI.
pub(super) fn check_device(id: &DeviceId) -> Result<(), SpecError> {
    let end = |c: char| c.is_ascii_alphanumeric();
    let text = id.as_str();
    let inner = |c: char| end(c) || matches!(c, '_' | '-' | '.' | ':');
    if text.starts_with(end) && text.ends_with(end) && text.chars().all(inner) {
        Ok(())
    } else {
        let id = id.clone();
        Err(SpecError::Device { id })
    }
}

/// The file of a resource. A vendor has no `_`, so no two resources share a name.
pub(super) fn file_name(kind: &ResourceName) -> String {
    format!("{}_{}.{EXTENSION}", kind.vendor(), kind.name())
}

/// The file of a resource while it is being written.
pub(super) fn unfinished_name(kind: &ResourceName) -> String {
    format!(".{}_{}.{UNFINISHED}", kind.vendor(), kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> ResourceName {
        text.parse().unwrap()
    }

    #[test]
    fn a_kind_starts_with_letters() {
        assert_eq!(check_kind(&kind("a.b-c/D_e.f")), Ok(()));
        let digits = kind("1a/b");
        let error = check_kind(&digits).unwrap_err();
        assert_eq!(error, SpecError::Vendor { kind: digits });
        let digits = kind("a/4xxx");
        let error = check_kind(&digits).unwrap_err();
        assert_eq!(error, SpecError::Class { kind: digits });
    }

    #[test]
    fn a_kind_fits_into_the_name_of_a_file() {
        let long = |vendor: usize| kind(&format!("{}/{}", "v".repeat(vendor), "c".repeat(63)));
        assert_eq!(check_kind(&long(182)), Ok(()));
        assert_eq!(unfinished_name(&long(182)).len(), NAME_MAX);
        let error = check_kind(&long(183)).unwrap_err();
        assert_eq!(error, SpecError::FileName { kind: long(183) });
    }

    #[test]
    fn a_device_has_the_characters_of_cdi() {
        for good in ["0", "a", "0000:6b:00.1", "a_b-c.d:e"] {
            assert_eq!(check_device(&good.parse().unwrap()), Ok(()), "{good}");
        }
        for bad in ["-a", "a:", "a=b", "a/b", "a,b", "_"] {
            let id: DeviceId = bad.parse().unwrap();
            let error = qualified_name(&kind("a/b"), &id).unwrap_err();
            assert_eq!(error, SpecError::Device { id });
        }
    }

    #[test]
    fn resources_that_look_alike_have_files_of_their_own() {
        assert_eq!(file_name(&kind("a-b/c")), "a-b_c.yaml");
        assert_eq!(file_name(&kind("a/b-c")), "a_b-c.yaml");
    }
}
