use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use uevent::{Action, ErrorEvent, ParseError, Uevent};

/// As captured from a 6.18 kernel: `echo change > /sys/devices/pci0000:00/0000:00:00.0/uevent`.
const SYNTHETIC: &[u8] = b"change@/devices/pci0000:00/0000:00:00.0\0ACTION=change\0\
DEVPATH=/devices/pci0000:00/0000:00:00.0\0SUBSYSTEM=pci\0SYNTH_UUID=0\0PCI_CLASS=60000\0\
PCI_ID=8086:0D57\0PCI_SUBSYS_ID=0000:0000\0PCI_SLOT_NAME=0000:00:00.0\0\
MODALIAS=pci:v00008086d00000D57sv00000000sd00000000bc06sc00i00\0SEQNUM=844\0";

fn parse(datagram: &[u8]) -> Uevent {
    Uevent::parse(datagram).expect("a kernel event")
}

#[test]
fn a_captured_event_is_read_in_full() {
    let event = parse(SYNTHETIC);
    assert_eq!(event.action(), &Action::Change);
    assert_eq!(event.devpath(), "/devices/pci0000:00/0000:00:00.0");
    assert_eq!(event.subsystem(), Some("pci"));
    assert_eq!(event.pci_slot_name(), Some("0000:00:00.0"));
    assert_eq!(event.pci_id(), Some((0x8086, 0x0d57)));
    assert_eq!(event.seqnum(), Some(844));
    assert!(event.is_synthetic());
    assert_eq!(event.driver(), None);
    assert_eq!(event.error_event(), None);
    assert_eq!(event.vars().count(), 10);
    assert_eq!(event.to_string(), "change@/devices/pci0000:00/0000:00:00.0");
}

#[test]
fn bind_names_the_driver_and_unbind_does_not() {
    let bind = parse(
        b"bind@/devices/pci0000:17/0000:17:00.1\0ACTION=bind\0SUBSYSTEM=pci\0DRIVER=vfio-pci\0\
          PCI_ID=8086:1520\0PCI_SLOT_NAME=0000:17:00.1\0SEQNUM=5003\0",
    );
    assert_eq!(bind.action(), &Action::Bind);
    assert_eq!(bind.driver(), Some("vfio-pci"));
    assert!(!bind.is_synthetic());
    let unbind = parse(
        b"unbind@/devices/pci0000:17/0000:17:00.1\0ACTION=unbind\0SUBSYSTEM=pci\0SEQNUM=5010\0",
    );
    assert_eq!(unbind.action(), &Action::Unbind);
    assert_eq!(unbind.driver(), None);
}

#[test]
fn error_recovery_is_told() {
    let event = |word: &str, online: &str| {
        parse(
            format!(
                "change@/devices/pci0000:17/0000:17:00.0\0DRIVER=x\0ERROR_EVENT={word}\0\
                 DEVICE_ONLINE={online}\0"
            )
            .as_bytes(),
        )
    };
    let begin = event("BEGIN_RECOVERY", "0");
    assert_eq!(begin.error_event(), Some(ErrorEvent::BeginRecovery));
    assert_eq!(begin.device_online(), Some(false));
    let good = event("SUCCESSFUL_RECOVERY", "1");
    assert_eq!(good.error_event(), Some(ErrorEvent::SuccessfulRecovery));
    assert_eq!(good.device_online(), Some(true));
    let failed = event("FAILED_RECOVERY", "maybe");
    assert_eq!(failed.error_event(), Some(ErrorEvent::FailedRecovery));
    assert_eq!(failed.device_online(), None);
    assert_eq!(
        event("ODD", "1").error_event(),
        Some(ErrorEvent::Other("ODD".into()))
    );
}

#[test]
fn device_nodes_are_named_relative_to_dev() {
    let event = parse(
        b"add@/devices/pci0000:17/0000:17:00.1/vfio-dev/vfio0\0ACTION=add\0SUBSYSTEM=vfio-dev\0\
          MAJOR=511\0MINOR=0\0DEVNAME=vfio/devices/vfio0\0SEQNUM=5005\0",
    );
    assert_eq!(event.subsystem(), Some("vfio-dev"));
    assert_eq!(event.dev_name(), Some("vfio/devices/vfio0"));
}

#[test]
fn the_words_are_those_of_the_kernel() {
    for word in [
        "add", "remove", "change", "move", "online", "offline", "bind", "unbind",
    ] {
        let action = Action::from(word);
        assert!(!matches!(action, Action::Other(_)), "{word}");
        assert_eq!(action.to_string(), word);
    }
    assert_eq!(Action::from("ADD"), Action::Other("ADD".into()));
}

#[test]
fn malformed_datagrams_are_errors() {
    let header = |header: &str| {
        Err(ParseError::Header {
            header: header.into(),
        })
    };
    assert_eq!(Uevent::parse(b""), Err(ParseError::Empty));
    assert_eq!(
        Uevent::parse(b"libudev\0\xfe\xed\xca\xfe"),
        Err(ParseError::FromUdev)
    );
    assert_eq!(Uevent::parse(b"\0"), header(""));
    assert_eq!(Uevent::parse(b"add\0ACTION=add\0"), header("add"));
    assert_eq!(Uevent::parse(b"@/devices/x\0"), header("@/devices/x"));
    assert_eq!(Uevent::parse(b"add@\0"), header("add@"));
    assert_eq!(Uevent::parse(b"add@devices\0"), header("add@devices"));
    assert_eq!(Uevent::parse(b"a\n\xff\0"), header("a\\n\u{fffd}"));
    assert_eq!(Uevent::parse(&[b'a'; 4000]), header(&"a".repeat(80)));
}

#[test]
fn odd_fields_are_skipped_and_the_last_of_a_key_counts() {
    let event = parse(b"add@/d\0NOEQUALS\0=nokey\0\0EMPTY=\0A=1\0A=x=y\0B=\xff");
    assert_eq!(
        event.vars().collect::<Vec<_>>(),
        [("A", "x=y"), ("B", "\u{fffd}"), ("EMPTY", "")]
    );
}

#[test]
fn a_second_at_sign_belongs_to_the_path() {
    assert_eq!(parse(b"add@/devices/a@b\0").devpath(), "/devices/a@b");
}

#[test]
fn a_pci_id_of_another_form_is_none() {
    for id in [
        "8086",
        "8086:",
        ":1520",
        "+086:1520",
        "18086:1520",
        "8086:1520:1",
        "808g:1520",
        "",
    ] {
        assert_eq!(
            parse(format!("add@/d\0PCI_ID={id}\0").as_bytes()).pci_id(),
            None,
            "{id}"
        );
    }
    assert_eq!(parse(b"add@/d\0SEQNUM=-1\0").seqnum(), None);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(datagram in vec(any::<u8>(), 0..600)) {
        if let Ok(event) = Uevent::parse(&datagram) {
            prop_assert!(event.pci_id().is_none() || event.var("PCI_ID").is_some());
            prop_assert!(event.seqnum().is_none() || event.var("SEQNUM").is_some());
            prop_assert!(event.devpath().starts_with('/'));
        }
    }

    #[test]
    fn nothing_behind_a_good_header_is_an_error(tail in vec(any::<u8>(), 0..600)) {
        let mut datagram = b"add@/devices/x\0".to_vec();
        datagram.extend(tail);
        prop_assert!(Uevent::parse(&datagram).is_ok());
    }

    #[test]
    fn what_is_written_is_read(
        action in "[a-z]{1,8}",
        devpath in "/[^\\x00]{0,40}",
        vars in btree_map("[A-Z_]{1,12}", "[^\\x00]{0,20}", 0..12),
    ) {
        prop_assume!(action != "libudev");
        let mut datagram = format!("{action}@{devpath}\0").into_bytes();
        for (key, value) in &vars {
            datagram.extend(format!("{key}={value}\0").bytes());
        }
        let event = Uevent::parse(&datagram).unwrap();
        prop_assert_eq!(event.action().as_str(), action);
        prop_assert_eq!(event.devpath(), devpath);
        let read: Vec<_> = event.vars().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        prop_assert_eq!(read, vars.into_iter().collect::<Vec<_>>());
    }
}
