//! Reading services from trees of files.

use std::fs::{create_dir_all, write};
use std::path::PathBuf;

use qat_policy::{DebugfsRoot, Family, PfReading, ReadingError, read_pf};
use sysfs_pci::{ClassCode, Function, PciId, Role, Sriov, SysfsRoot, fs};
use tempfile::TempDir;

use crate::node::{address, driver};

struct Tree {
    dir: TempDir,
    family: Family,
    function: Function,
}

impl Tree {
    fn new(family: Family) -> Self {
        let spec = family.spec();
        let function = Function {
            address: address("0000:6b:00.0"),
            id: spec.pf,
            subsystem: PciId::new(0x8086, 0),
            class: ClassCode::new(0x0b_4000).unwrap(),
            driver: Some(driver(spec.pf_driver)),
            iommu_group: None,
            role: Role::Physical(Sriov::default()),
        };
        Self {
            dir: TempDir::new().unwrap(),
            family,
            function,
        }
    }

    fn attribute(&self) -> PathBuf {
        self.dir
            .path()
            .join("sys/bus/pci/devices/0000:6b:00.0/qat/cfg_services")
    }

    fn dev_cfg(&self) -> PathBuf {
        self.dir.path().join(format!(
            "debug/qat_{}_0000:6b:00.0/dev_cfg",
            self.family.spec().pf_driver
        ))
    }

    fn put(&self, path: PathBuf, content: impl AsRef<[u8]>) -> &Self {
        create_dir_all(path.parent().unwrap()).unwrap();
        write(path, content).unwrap();
        self
    }

    /// The services in both forms, and how many calls it took.
    fn read(&self) -> (Result<Option<(String, String)>, ReadingError>, u64) {
        let sysfs = SysfsRoot::new(self.dir.path().join("sys"));
        let debugfs = DebugfsRoot::new(self.dir.path().join("debug"));
        let before = fs::calls();
        let PfReading { services } = read_pf(
            &sysfs,
            &debugfs,
            self.function.address,
            self.function.driver.as_ref(),
            self.family,
        );
        let calls = fs::calls() - before;
        (
            services.map(|services| services.map(|found| (found.set.to_string(), found.as_read))),
            calls,
        )
    }
}

fn found(set: &str, as_read: &str) -> (String, String) {
    (set.to_owned(), as_read.to_owned())
}

#[test]
fn cfg_services_costs_three_calls() {
    let tree = Tree::new(Family::Gen4_4xxx);
    tree.put(tree.attribute(), "sym;asym\n");
    tree.put(tree.dev_cfg(), "[GENERAL]\nServicesEnabled = dc\n");
    assert_eq!(tree.read(), (Ok(Some(found("asym;sym", "sym;asym"))), 3));
    tree.put(tree.attribute(), "dc");
    assert_eq!(tree.read(), (Ok(Some(found("dc", "dc"))), 3));
}

#[test]
fn dev_cfg_where_the_attribute_is_missing_or_empty() {
    // 401xx: the directory has the name of the driver it shares with 4xxx.
    let tree = Tree::new(Family::Gen4_401xx);
    tree.put(
        tree.dev_cfg(),
        "[GENERAL]\nServicesEnabled = sym;dc\n[KERNEL]\nNumberCyInstances = 0\n",
    );
    assert!(tree.dev_cfg().ends_with("qat_4xxx_0000:6b:00.0/dev_cfg"));
    assert_eq!(tree.read(), (Ok(Some(found("sym;dc", "sym;dc"))), 1 + 3));
    tree.put(tree.attribute(), "\n");
    assert_eq!(tree.read(), (Ok(Some(found("sym;dc", "sym;dc"))), 3 + 3));
    tree.put(tree.dev_cfg(), "[GENERAL]\nServicesEnabled = cy\n");
    assert_eq!(tree.read().0, Ok(Some(found("asym;sym", "cy"))));
}

#[test]
fn a_kernel_that_says_nothing() {
    let tree = Tree::new(Family::Gen4_4xxx);
    assert_eq!(tree.read(), (Ok(None), 2));
    tree.put(tree.dev_cfg(), "[GENERAL]\nfoo = bar\n");
    assert_eq!(tree.read().0, Ok(None));
}

#[test]
fn nothing_is_read_where_there_is_nothing_to_read() {
    let tree = Tree::new(Family::C62x);
    tree.put(tree.attribute(), "garbage");
    assert_eq!(tree.read(), (Ok(None), 0));

    let mut unbound = Tree::new(Family::Gen4_4xxx);
    unbound.function.driver = None;
    assert_eq!(unbound.read(), (Ok(None), 0));
}

#[test]
fn garbage_is_an_error_with_the_path() {
    let tree = Tree::new(Family::Gen6_6xxx);
    for text in [
        "sym,asym",
        "(null)",
        "sym;",
        "dc;dc",
        "sym asym",
        "\u{7}bell",
    ] {
        tree.put(tree.attribute(), text);
        let error = tree.read().0.unwrap_err();
        assert!(
            matches!(&error, ReadingError::Invalid { path, .. } if *path == tree.attribute()),
            "{text}: {error}"
        );
        assert!(!error.to_string().contains('\u{7}'));
    }
    tree.put(tree.attribute(), [0xff, 0xfe]);
    assert!(matches!(
        tree.read().0,
        Err(ReadingError::Unreadable { .. })
    ));
    tree.put(tree.attribute(), "");
    assert_eq!(
        tree.read().0,
        Err(ReadingError::Empty {
            path: tree.attribute()
        })
    );
}

#[test]
fn garbage_in_dev_cfg_is_an_error_too() {
    let tree = Tree::new(Family::Gen4_4xxx);
    tree.put(tree.dev_cfg(), "[GENERAL]\nServicesEnabled =\n");
    assert_eq!(
        tree.read().0,
        Err(ReadingError::Empty {
            path: tree.dev_cfg()
        })
    );
    tree.put(tree.dev_cfg(), "[GENERAL]\nServicesEnabled = everything\n");
    assert!(
        matches!(tree.read().0, Err(ReadingError::Invalid { value, .. }) if value == "everything")
    );
}

#[test]
fn an_attribute_that_cannot_be_read_does_not_fall_back() {
    let tree = Tree::new(Family::Gen4_4xxx);
    // Reading a directory fails with EISDIR, which stands for any error of a device.
    create_dir_all(tree.attribute()).unwrap();
    tree.put(tree.dev_cfg(), "[GENERAL]\nServicesEnabled = dc\n");
    let error = tree.read().0.unwrap_err();
    assert!(error.to_string().contains("cfg_services"), "{error}");
    assert!(matches!(error, ReadingError::Unreadable { .. }));
}
