//! What an answer to `Allocate` should be. The kubelet looks at none of it: a container
//! runtime fails later, far from the plugin, or does something else than was meant.

use std::collections::BTreeSet;

use super::merge::ContainerAnswer;

/// What is wrong with an answer, one sentence each.
pub(super) fn flaws(answer: &ContainerAnswer) -> Vec<String> {
    let mut flaws = Vec::new();
    for name in answer.envs.keys() {
        if name.is_empty() {
            flaws.push("a variable has an empty name".to_owned());
        } else if name.contains(['=', '\0']) {
            let name = name.escape_debug();
            flaws.push(format!(
                "the variable `{name}` has a `=` or NUL in its name"
            ));
        }
    }
    for device in &answer.devices {
        let permissions = &device.permissions;
        if permissions.is_empty() {
            let path = &device.container_path;
            flaws.push(format!("the device `{path}` has no permissions"));
        } else if !permissions.chars().all(|c| "rwm".contains(c)) {
            let path = &device.container_path;
            flaws.push(format!(
                "the device `{path}` has the permissions `{permissions}`, not some of `rwm`"
            ));
        }
    }
    let devices = answer
        .devices
        .iter()
        .map(|device| ("device", &device.container_path, &device.host_path));
    let mounts = answer
        .mounts
        .iter()
        .map(|mount| ("mount", &mount.container_path, &mount.host_path));
    let mut places = BTreeSet::new();
    for (what, container, host) in devices.chain(mounts) {
        for (side, path) in [("container", container), ("host", host)] {
            if path.is_empty() {
                flaws.push(format!("a {what} has an empty {side} path"));
            } else if !path.starts_with('/') {
                flaws.push(format!("the {side} path `{path}` of a {what} is relative"));
            }
        }
        if !places.insert(container) {
            flaws.push(format!("the container path `{container}` is there twice"));
        }
    }
    let names = answer.cdi_devices.iter();
    let unqualified = names.filter(|name| !is_qualified(name));
    flaws.extend(
        unqualified.map(|name| format!("the CDI name `{name}` is not `vendor/class=name`")),
    );
    flaws
}

/// Whether this is a fully qualified CDI device name (CDI specification,
/// `pkg/parser/parser.go`).
fn is_qualified(name: &str) -> bool {
    let parts = name.split_once('/').and_then(|(vendor, rest)| {
        let (class, device) = rest.split_once('=')?;
        Some((vendor, class, device))
    });
    parts.is_some_and(|(vendor, class, device)| {
        is_kind(vendor) && is_kind(class) && is_word(device, "_-.:")
    })
}

/// Vendor and class begin with a letter.
fn is_kind(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && is_word(text, "_-.")
}

/// Begins and ends with a letter or digit; in between also `others`.
fn is_word(text: &str, others: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || others.contains(c))
}

#[cfg(test)]
mod tests {
    use super::{
        super::merge::{AnswerDevice, AnswerMount},
        *,
    };

    fn device(container: &str, host: &str, permissions: &str) -> AnswerDevice {
        AnswerDevice {
            container_path: container.to_owned(),
            host_path: host.to_owned(),
            permissions: permissions.to_owned(),
        }
    }

    fn mount(container: &str, host: &str) -> AnswerMount {
        AnswerMount {
            container_path: container.to_owned(),
            host_path: host.to_owned(),
            read_only: true,
        }
    }

    #[test]
    fn a_good_answer_has_no_flaws() {
        let answer = ContainerAnswer {
            envs: [("A_1".to_owned(), "x=y".to_owned())].into(),
            devices: vec![
                device("/dev/vfio/1", "/dev/vfio/1", "rw"),
                device("/dev/null", "/dev/zero", "mwr"),
            ],
            mounts: vec![mount("/lib/fw", "/opt/fw")],
            cdi_devices: vec!["qat.intel.com/vf=0000:6b:00.1".to_owned()],
            ..ContainerAnswer::default()
        };
        assert_eq!(flaws(&answer), [""; 0]);
        assert_eq!(flaws(&ContainerAnswer::default()), [""; 0]);
    }

    #[test]
    fn devices_and_mounts_need_absolute_paths_of_their_own() {
        for (devices, mounts, expected) in [
            (
                vec![device("", "/dev/a", "rw")],
                vec![],
                "a device has an empty container path",
            ),
            (
                vec![device("/dev/a", "", "rw")],
                vec![],
                "a device has an empty host path",
            ),
            (
                vec![device("dev/a", "/dev/a", "rw")],
                vec![],
                "the container path `dev/a` of a device is relative",
            ),
            (
                vec![],
                vec![mount("/a", "./a")],
                "the host path `./a` of a mount is relative",
            ),
            (
                vec![],
                vec![mount("", "/a")],
                "a mount has an empty container path",
            ),
            (
                vec![device("/a", "/b", "rw"), device("/a", "/c", "rw")],
                vec![],
                "the container path `/a` is there twice",
            ),
            (
                vec![device("/a", "/b", "rw")],
                vec![mount("/a", "/c")],
                "the container path `/a` is there twice",
            ),
            (
                vec![device("/a", "/a", "")],
                vec![],
                "the device `/a` has no permissions",
            ),
            (
                vec![device("/a", "/a", "rwx")],
                vec![],
                "the device `/a` has the permissions `rwx`, not some of `rwm`",
            ),
        ] {
            let answer = ContainerAnswer {
                devices,
                mounts,
                ..ContainerAnswer::default()
            };
            assert_eq!(flaws(&answer), [expected]);
        }
    }

    #[test]
    fn names_of_variables_are_names() {
        for (name, expected) in [
            ("", "a variable has an empty name"),
            ("A=B", "the variable `A=B` has a `=` or NUL in its name"),
            ("A\0", "the variable `A\\0` has a `=` or NUL in its name"),
        ] {
            let answer = ContainerAnswer {
                envs: [(name.to_owned(), String::new())].into(),
                ..ContainerAnswer::default()
            };
            assert_eq!(flaws(&answer), [expected]);
        }
    }

    #[test]
    fn cdi_names_are_qualified() {
        for good in ["a/b=c", "v.com/c-1_2.x=0:1.2_3-4", "qat.intel.com/q4xxx=7"] {
            assert!(is_qualified(good), "{good}");
        }
        for bad in [
            "",
            "vf0",
            "a/b",
            "a=b",
            "a/b=",
            "/b=c",
            "a/=c",
            "1a/b=c",
            "qat.intel.com/4xxx=0",
            "a./b=c",
            "a/b=-c",
            "a/b=c:",
            "a/b=c d",
            "a/b/c=d",
            "a/b=c=d",
        ] {
            assert!(!is_qualified(bad), "{bad}");
            let answer = ContainerAnswer {
                cdi_devices: vec![bad.to_owned()],
                ..ContainerAnswer::default()
            };
            let expected = format!("the CDI name `{bad}` is not `vendor/class=name`");
            assert_eq!(flaws(&answer), [expected]);
        }
    }
}
