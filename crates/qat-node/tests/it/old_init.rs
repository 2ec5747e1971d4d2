//! The files of Intel's init container.

use std::error::Error as _;
use std::fs::write;

use qat_node::config::OldInit;
use qat_policy::Family;

fn old(files: &[(&str, &str)], node: Option<&str>, ids: Option<&str>) -> Result<OldInit, String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(dir.path().join(name), text).unwrap();
    }
    OldInit::read(dir.path(), node, ids).map_err(|error| {
        let mut text = error.to_string();
        if let Some(source) = error.source() {
            text.push_str(": ");
            text.push_str(&source.to_string());
        }
        text.replace(dir.path().to_str().unwrap(), "DIR")
    })
}

#[test]
fn the_init_containers_files_are_taken_as_they_are() {
    let both = [
        (
            "qat.conf",
            "ServicesEnabled=sym;asym\nAutoresetEnabled=on\n",
        ),
        ("qat-node-7.conf", "ServicesEnabled=dc\n"),
    ];
    let here = old(&both, Some("node-7"), None).unwrap();
    assert_eq!(here.services.unwrap().to_string(), "dc");
    assert_eq!(here.auto_reset, Some(true));
    let elsewhere = old(&both, Some("node-8"), Some("  ")).unwrap();
    assert_eq!(elsewhere.services.unwrap().to_string(), "asym;sym");
    assert_eq!(elsewhere.families.len(), 6);

    let rules = elsewhere.rules();
    let services = rules
        .iter()
        .map(|rule| (rule.family.unwrap(), rule.services.is_some()));
    assert_eq!(
        services.filter(|(_, some)| !some).collect::<Vec<_>>(),
        [(Family::C62x, false)]
    );
}

#[test]
fn without_files_there_are_vfs_and_nothing_else() {
    let nothing = old(&[], None, Some("4940 0x4942 4940")).unwrap();
    assert_eq!((nothing.services, nothing.auto_reset), (None, None));
    assert_eq!(nothing.families, [Family::Gen4_4xxx, Family::Gen4_401xx]);
    assert_eq!(nothing.rules().len(), 2);
}

#[test]
fn lines_are_read_as_the_script_reads_them() {
    let read = |text: &str| old(&[("qat.conf", text)], None, None).unwrap();
    assert_eq!(read("ServicesEnabled=\n").services, None);
    assert_eq!(
        read("ServicesEnabled=dc=sym\n")
            .services
            .unwrap()
            .to_string(),
        "dc"
    );
    let odd = read("# a comment\n ServicesEnabled=dc\nServiceEnabled=dc\nqat.conf=$'x\n");
    assert_eq!(odd.services, None);
    assert_eq!(odd.warnings.len(), 3, "{:?}", odd.warnings);
    assert!(odd.warnings[1].contains("line 3: `ServiceEnabled=dc` is passed over"));
}

#[test]
fn what_the_script_passes_over_in_silence_is_refused() {
    for (text, says) in [
        (
            "ServicesEnabled=foo\n",
            "`DIR/qat.conf`, line 1: ServicesEnabled: unknown service `foo`",
        ),
        (
            "\nServicesEnabled=sym;\n",
            "line 2: ServicesEnabled: a service is missing",
        ),
        (
            "AutoresetEnabled=yes\n",
            "AutoresetEnabled is `yes`; it is on or off",
        ),
    ] {
        let error = old(&[("qat.conf", text)], None, None).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    for ids in ["1234", "4941", "494", "4940,4942", "+940"] {
        let error = old(&[], None, Some(ids)).unwrap_err();
        assert!(error.contains("no PF of QAT; known are: 0435"), "{error}");
    }
}

#[test]
fn a_node_name_is_no_path() {
    for name in ["../../etc/x", "a/b", "..", "a b", "A", "é"] {
        let error = old(&[], Some(name), None).unwrap_err();
        assert!(error.contains("no name of a node"), "{error}");
    }
    old(&[], Some("worker-1.example.org"), None).unwrap();
}
