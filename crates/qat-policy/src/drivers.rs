//! Names of drivers: the list of kernel VF drivers that selects families, and the VFIO drivers.

use std::collections::BTreeSet;

use sysfs_pci::DriverName;
use vfio_host::VfioDrivers;

use crate::family::Family;
use crate::table;

/// Names in a list of kernel VF drivers that are not driver names.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", self.text())]
pub struct UnknownDrivers {
    /// The items that name no driver, as given but trimmed. Empty if the list had no item at all.
    pub unknown: Vec<String>,
}

impl UnknownDrivers {
    fn text(&self) -> String {
        let allowed = kernel_vf_driver_names().join(", ");
        if self.unknown.is_empty() {
            return format!("the list of kernel VF drivers is empty; allowed are: {allowed}");
        }
        let items: Vec<String> = self
            .unknown
            .iter()
            .map(|item| match meant(item) {
                Some(driver) => format!("`{item}` (did you mean `{driver}`?)"),
                None => format!("`{item}`"),
            })
            .collect();
        format!(
            "unknown kernel VF driver {}; allowed are: {allowed}",
            items.join(", ")
        )
    }
}

/// Finds the driver for what people write instead of it: the family (`c62x`, `c62xvf`), the PF's
/// driver (`c6xx`) or the module (`qat_c62xvf`).
fn meant(item: &str) -> Option<&'static str> {
    let item = item.to_ascii_lowercase();
    let stem = item.strip_prefix("qat_").unwrap_or(&item);
    let stem = stem.strip_suffix("vf").unwrap_or(stem);
    Family::all()
        .iter()
        .map(|family| family.spec())
        .find(|spec| spec.name == stem || spec.pf_driver == stem)
        .map(|spec| spec.vf_driver)
}

/// Returns the families whose VFs a kernel VF driver serves: `4xxxvf` has three, an unknown name
/// has none.
pub fn families_of_driver(vf_driver: &str) -> &'static [Family] {
    let all = Family::all();
    let is_served = |family: &Family| family.spec().vf_driver == vf_driver;
    let Some(first) = all.iter().position(is_served) else {
        return &[];
    };
    let count = all.iter().filter(|family| is_served(family)).count();
    all.get(first..first + count).unwrap_or_default()
}

/// Returns the names of all kernel VF drivers, oldest generation first, each once.
pub fn kernel_vf_driver_names() -> Vec<&'static str> {
    table::names(|spec| spec.vf_driver)
}

/// Reads a comma-separated list of kernel VF drivers as the set of families it enables.
///
/// Blanks around an item do not matter, nor does naming a driver twice.
///
/// # Errors
///
/// [`UnknownDrivers`] with all items that are not names of drivers, or with none if the list is
/// empty.
///
/// # Examples
///
/// ```
/// use qat_policy::{Family, parse_kernel_vf_drivers};
///
/// let families = parse_kernel_vf_drivers("c6xxvf, 420xxvf")?;
/// assert!(families.contains(&Family::C62x) && families.contains(&Family::Gen5_420xx));
/// let error = parse_kernel_vf_drivers("c62xvf").unwrap_err();
/// assert!(error.to_string().contains("did you mean `c6xxvf`?"));
/// # Ok::<(), qat_policy::UnknownDrivers>(())
/// ```
pub fn parse_kernel_vf_drivers(list: &str) -> Result<BTreeSet<Family>, UnknownDrivers> {
    let mut families = BTreeSet::new();
    let mut unknown = Vec::new();
    if list.trim().is_empty() {
        return Err(UnknownDrivers { unknown });
    }
    for item in list.split(',').map(str::trim) {
        let served = families_of_driver(item);
        if served.is_empty() {
            unknown.push(item.to_owned());
        }
        families.extend(served);
    }
    if unknown.is_empty() {
        Ok(families)
    } else {
        Err(UnknownDrivers { unknown })
    }
}

/// Returns the drivers whose VFs can be given out: `vfio-pci`, and `qat_vfio_pci`, the variant
/// driver with live migration (Linux 6.10, `drivers/vfio/pci/qat`).
pub fn vfio_drivers() -> VfioDrivers {
    let drivers = VfioDrivers::default();
    match "qat_vfio_pci".parse::<DriverName>() {
        Ok(variant) => drivers.with(variant),
        Err(_) => drivers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_a_driver() {
        assert_eq!(
            families_of_driver("4xxxvf"),
            [Family::Gen4_4xxx, Family::Gen4_401xx, Family::Gen4_402xx]
        );
        assert_eq!(families_of_driver("c6xxvf"), [Family::C62x]);
        assert_eq!(families_of_driver("c62xvf"), []);
        assert_eq!(families_of_driver(""), []);
    }

    #[test]
    fn each_family_is_found_by_its_driver() {
        for family in Family::all() {
            let served = families_of_driver(family.spec().vf_driver);
            assert!(served.contains(family), "{family}");
            assert!(
                served
                    .iter()
                    .all(|other| other.spec().vf_driver == family.spec().vf_driver),
                "{family}"
            );
        }
    }

    #[test]
    fn lists() {
        assert_eq!(
            kernel_vf_driver_names(),
            [
                "dh895xccvf",
                "c3xxxvf",
                "c6xxvf",
                "d15xxvf",
                "200xxvf",
                "c4xxxvf",
                "4xxxvf",
                "420xxvf",
                "6xxxvf"
            ]
        );
        let all = parse_kernel_vf_drivers(&kernel_vf_driver_names().join(" , ")).unwrap();
        assert_eq!(all, Family::all().iter().copied().collect());
        // The argument of the article's DaemonSet.
        let four = parse_kernel_vf_drivers("dh895xccvf,c6xxvf,c3xxxvf,d15xxvf").unwrap();
        assert_eq!(
            four,
            BTreeSet::from([Family::Dh895xcc, Family::C3xxx, Family::C62x, Family::D15xx])
        );
        assert_eq!(parse_kernel_vf_drivers("4xxxvf,4xxxvf").unwrap().len(), 3);
    }

    #[test]
    fn bad_lists_name_every_bad_item() {
        for empty in ["", "  "] {
            let error = parse_kernel_vf_drivers(empty).unwrap_err();
            assert!(error.unknown.is_empty());
            assert!(
                error
                    .to_string()
                    .starts_with("the list of kernel VF drivers is empty; allowed are: dh895xccvf")
            );
        }
        let error = parse_kernel_vf_drivers("4xxxvf,nonsense,,qat_c62xvf").unwrap_err();
        assert_eq!(error.unknown, ["nonsense", "", "qat_c62xvf"]);
        let text = error.to_string();
        assert!(
            text.contains("`nonsense`, ``, `qat_c62xvf` (did you mean `c6xxvf`?)"),
            "{text}"
        );
        assert!(text.contains("allowed are: dh895xccvf, "), "{text}");
        assert!(
            parse_kernel_vf_drivers("4XXXVF")
                .unwrap_err()
                .to_string()
                .contains("did you mean `4xxxvf`?")
        );
    }

    #[test]
    fn vfio_and_its_variant() {
        let names: BTreeSet<String> = vfio_drivers().iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            BTreeSet::from(["qat_vfio_pci".to_owned(), "vfio-pci".to_owned()])
        );
    }
}
