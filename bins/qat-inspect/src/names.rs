//! What other PCI functions are called.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[cfg(feature = "embedded-pci-ids")]
use pci_ids::FromId as _;
use sysfs_pci::PciId;

/// Where distributions have the list of all PCI ids.
const USUAL: [&str; 2] = ["/usr/share/hwdata/pci.ids", "/usr/share/misc/pci.ids"];

/// Names of vendors and devices: from the list of this machine, else from the one that was built in (feature
/// `embedded-pci-ids`), else there are none.
#[derive(Debug, Default)]
pub(crate) struct Names {
    vendors: BTreeMap<u16, Vendor>,
    /// Whether the list that was built in may help out.
    embedded: bool,
}

#[derive(Debug, Default)]
struct Vendor {
    name: String,
    devices: BTreeMap<u16, String>,
}

impl Names {
    /// Reads `file`, else the first list that this machine has. Without one there are no names.
    pub(crate) fn read(file: Option<&Path>) -> Self {
        let files: Vec<&Path> = match file {
            Some(file) => vec![file],
            None => USUAL.map(Path::new).to_vec(),
        };
        let text = files.into_iter().find_map(|path| fs::read(path).ok());
        let names = text.map(|text| Self::parse(&String::from_utf8_lossy(&text)));
        Self {
            embedded: file.is_none(),
            ..names.unwrap_or_default()
        }
    }

    /// `8086  Intel Corporation`, and below it `<tab>4940  4xxx Series QAT`. What is anything else is passed over, as are
    /// subsystems (two tabs) and classes (`C ..`).
    fn parse(text: &str) -> Self {
        let mut vendors = BTreeMap::<u16, Vendor>::new();
        let mut current = None;
        for line in text.lines() {
            if let Some(line) = line.strip_prefix('\t') {
                if let (Some(vendor), Some((id, name))) = (current, entry(line)) {
                    let vendor = vendors.entry(vendor).or_default();
                    vendor.devices.insert(id, name);
                }
            } else if let Some((id, name)) = entry(line) {
                current = Some(id);
                vendors.entry(id).or_default().name = name;
            } else if !line.starts_with('#') && !line.is_empty() {
                current = None;
            }
        }
        Self {
            vendors,
            embedded: false,
        }
    }

    /// The name of a device with its vendor's. A device that only the vendor is known of is named by its id, as `lspci` does.
    pub(crate) fn of(&self, id: PciId) -> Option<String> {
        let known = self.vendors.get(&id.vendor);
        let device = known.and_then(|vendor| vendor.devices.get(&id.device));
        match (known, device) {
            (Some(vendor), Some(device)) => Some(format!("{} {device}", vendor.name)),
            (Some(vendor), None) => Some(format!("{} Device {:04x}", vendor.name, id.device)),
            (None, _) if self.embedded => embedded(id),
            (None, _) => None,
        }
    }
}

/// What the crate `pci-ids` has built in.
#[cfg(feature = "embedded-pci-ids")]
fn embedded(id: PciId) -> Option<String> {
    let vendor = pci_ids::Vendor::from_id(id.vendor)?;
    let device = vendor.devices().find(|device| device.id() == id.device);
    Some(match device {
        Some(device) => format!("{} {}", vendor.name(), device.name()),
        None => format!("{} Device {:04x}", vendor.name(), id.device),
    })
}

#[cfg(not(feature = "embedded-pci-ids"))]
const fn embedded(_: PciId) -> Option<String> {
    None
}

/// Four hexadecimal digits, two blanks, a name.
fn entry(line: &str) -> Option<(u16, String)> {
    let (id, name) = line.split_once("  ")?;
    let digits = id.len() == 4 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = u16::from_str_radix(id, 16).ok().filter(|_| digits)?;
    Some((
        id,
        name.trim().chars().filter(|c| !c.is_control()).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# comment\n\n8086  Intel Corporation\n\t4940  4xxx Series QAT\n\t\t8086 0000  Subsystem\n\t4941\n\
                        1af4  Red Hat, Inc.\nC 02  Network controller\n\t00  Ethernet controller\n";

    #[test]
    fn names_are_found() {
        let names = Names::parse(LIST);
        let of = |id: &str| names.of(id.parse().unwrap());
        assert_eq!(
            of("8086:4940").as_deref(),
            Some("Intel Corporation 4xxx Series QAT")
        );
        assert_eq!(
            of("8086:494a").as_deref(),
            Some("Intel Corporation Device 494a")
        );
        assert_eq!(
            of("1af4:0000").as_deref(),
            Some("Red Hat, Inc. Device 0000")
        );
        assert!(names.vendors[&0x1af4].devices.is_empty());
    }

    #[test]
    fn no_text_makes_the_reader_panic() {
        for text in [
            "",
            "\t",
            "\t4940  x",
            "é940  x\n",
            "8086  \n\t4940  \u{7}x",
            "\0\0\0\0  \n",
        ] {
            let _names = Names::parse(text);
        }
    }
}
