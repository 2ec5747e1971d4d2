//! Every parser: whatever it accepts it writes back the same, and nothing makes it panic.

use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;

use proptest::prelude::*;
use proptest::sample::Index;
use sysfs_pci::{
    ClassCode, CpuList, DriverName, Identity, IommuGroupId, NumaNode, PciAddress, PciId, VfIndex,
};

/// Parses anything; what is accepted must survive being written and read again.
fn stable<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Result<(), TestCaseError> {
    if let Ok(value) = text.parse::<T>() {
        prop_assert_eq!(value.to_string().parse::<T>().ok(), Some(value));
    }
    Ok(())
}

/// Arbitrary text, and text that is nearly right.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9a-fA-F:.+ -]{0,16}",
        "[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\\.[0-9]",
        "[0-9a-f]{4}:[0-9a-f]{4}",
        "0x[0-9a-f]{5,7}",
        "[0-9,-]{0,24}",
        "pci:v[0-9A-F]{8}d[0-9A-F]{8}sv[0-9A-F]{8}sd[0-9A-F]{8}bc[0-9A-F]{2}sc[0-9A-F]{2}i..",
        "virtfn[0-9+-]{0,7}",
    ]
}

fn addresses() -> impl Strategy<Value = PciAddress> {
    (any::<u32>(), any::<u8>(), 0..32u8, 0..8u8)
        .prop_filter_map("in range", |(a, b, c, d)| PciAddress::new(a, b, c, d))
}

fn ids() -> impl Strategy<Value = PciId> {
    (any::<u16>(), any::<u16>()).prop_map(|(vendor, device)| PciId::new(vendor, device))
}

fn classes() -> impl Strategy<Value = ClassCode> {
    (0..=0x00ff_ffffu32).prop_filter_map("24 bits", ClassCode::new)
}

proptest! {
    #[test]
    fn nothing_panics_and_what_is_accepted_is_stable(text in texts()) {
        stable::<PciAddress>(&text)?;
        stable::<PciId>(&text)?;
        stable::<ClassCode>(&text)?;
        stable::<Identity>(&text)?;
        stable::<DriverName>(&text)?;
        stable::<CpuList>(&text)?;
        stable::<IommuGroupId>(&text)?;
        stable::<VfIndex>(&text)?;
        stable::<NumaNode>(&text)?;
        if let Some(index) = VfIndex::from_link_name(&text) {
            prop_assert_eq!(index.link_name(), text);
        }
    }

    #[test]
    fn addresses_round_trip_in_either_case(address in addresses()) {
        let text = address.to_string();
        prop_assert_eq!(text.parse::<PciAddress>().unwrap(), address);
        prop_assert_eq!(text.to_uppercase().parse::<PciAddress>().unwrap(), address);
    }

    #[test]
    fn addresses_of_one_domain_sort_as_their_text(a in addresses(), b in addresses()) {
        if a.domain() < 0x1_0000 && b.domain() < 0x1_0000 {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }

    #[test]
    fn ids_and_classes_round_trip(id in ids(), class in classes()) {
        prop_assert_eq!(id.to_string().parse::<PciId>().unwrap(), id);
        prop_assert_eq!(class.to_string().parse::<ClassCode>().unwrap(), class);
        let bytes = [0, class.base(), class.sub(), class.interface()];
        prop_assert_eq!(u32::from_be_bytes(bytes), class.get());
    }

    #[test]
    fn a_modalias_round_trips(id in ids(), subsystem in ids(), class in classes()) {
        let identity = Identity { id, subsystem, class };
        prop_assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity);
    }

    #[test]
    fn a_modalias_that_is_cut_is_refused(id in ids(), class in classes(), cut in any::<Index>()) {
        let text = Identity { id, subsystem: id, class }.to_string();
        let shorter = &text[..cut.index(text.len())];
        prop_assert!(shorter.parse::<Identity>().is_err());
    }

    #[test]
    fn a_driver_name_is_one_path_component(text in any::<String>()) {
        if let Ok(name) = text.parse::<DriverName>() {
            let path = Path::new("drivers").join(name.as_str());
            prop_assert_eq!(path.parent(), Some(Path::new("drivers")));
            prop_assert_eq!(name.as_str(), text);
        }
    }

    #[test]
    fn a_cpu_list_holds_the_cpus_it_names(cpus in prop::collection::btree_set(0..200u32, 0..40)) {
        let text: Vec<String> = cpus.iter().rev().map(u32::to_string).collect();
        let list: CpuList = text.join(",").parse().unwrap();
        prop_assert!(list.iter().eq(cpus.iter().copied()));
        prop_assert_eq!(list.len(), cpus.len() as u64);
        prop_assert_eq!(list.is_empty(), cpus.is_empty());
        for cpu in 0..200 {
            prop_assert_eq!(list.contains(cpu), cpus.contains(&cpu));
        }
    }

    #[test]
    fn link_names_round_trip(index in any::<u16>()) {
        let index = VfIndex::new(index);
        prop_assert_eq!(VfIndex::from_link_name(&index.link_name()), Some(index));
    }
}

#[test]
fn addresses_are_taken_in_full_form_only() {
    for good in ["0000:6b:00.1", "10000:e1:00.0", "FFFFFFFF:ff:1F.7"] {
        assert!(good.parse::<PciAddress>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "6b:00.1",
        "000:6b:00.1",
        "000000000:6b:00.1",
        "0000:6b:20.0",
        "0000:6b:00.8",
        "0000:6b:00.1\n",
        " 0000:6b:00.1",
        "0000:6b:0.1",
        "0000:+b:00.1",
        "0000-6b-00.1",
        "0000:6b:00.10",
        "0000:6b:00.",
        "0000:6b:00:1",
        "٠000:6b:00.1",
    ] {
        assert!(bad.parse::<PciAddress>().is_err(), "{bad}");
    }
}

#[test]
fn ids_above_sixteen_bits_are_refused() {
    let line = "pci:v00018086d00001520sv00008086sd00000000bc02sc00i00";
    assert!(line.parse::<Identity>().is_err());
}

#[test]
fn huge_cpu_ranges_cost_nothing() {
    let list: CpuList = "0-4294967295,7".parse().unwrap();
    assert_eq!(list.len(), 1 << 32);
    assert_eq!(list.to_string(), "0-4294967295");
    assert!("5-3".parse::<CpuList>().is_err());
    assert!("0,,1".parse::<CpuList>().is_err());
}

#[test]
fn driver_names_that_would_leave_their_directory_are_refused() {
    let long = "d".repeat(4095);
    for bad in [
        "",
        ".",
        "..",
        "a/b",
        "/",
        "a\0b",
        "vfio-pci\n",
        long.as_str(),
    ] {
        assert!(bad.parse::<DriverName>().is_err(), "{bad:?}");
    }
    assert!(long[1..].parse::<DriverName>().is_ok());
}

#[test]
fn a_parse_error_says_what_was_expected_and_is_safe_to_print() {
    let error = "\u{1b}[2J\n".parse::<PciAddress>().unwrap_err();
    assert_eq!(
        error.to_string(),
        r"`\u{1b}[2J\n` is not a full PCI address such as `0000:6b:00.1`"
    );
    let error = "x".repeat(100_000).parse::<PciId>().unwrap_err();
    assert!(error.to_string().len() < 200);
}

#[test]
fn serde_uses_the_text_of_addresses_and_the_number_of_groups() {
    let address: PciAddress = "0000:6B:00.1".parse().unwrap();
    let json = serde_json::to_string(&(address, IommuGroupId::new(320))).unwrap();
    assert_eq!(json, r#"["0000:6b:00.1",320]"#);
    let back: (PciAddress, IommuGroupId) = serde_json::from_str(&json).unwrap();
    assert_eq!(back, (address, IommuGroupId::new(320)));
    assert!(serde_json::from_str::<DriverName>(r#""a/b""#).is_err());
}
