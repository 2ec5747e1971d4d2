use std::fs;
use std::path::Path;

use sysfs_pci::fs as funnel;
use vfio_host::{NodeKind, Refusal, VfioDrivers};

use crate::tree::{Tree, address, group};

const A: &str = "0000:17:00.1";
const B: &str = "0000:17:00.2";

fn good() -> Tree {
    let tree = Tree::new();
    tree.vfio_function(A, 320);
    tree
}

fn refusal(tree: &Tree) -> Refusal {
    tree.host()
        .recheck(address(A), Some(group(320)))
        .unwrap_err()
}

#[test]
fn a_function_that_is_well_takes_14_calls() {
    let tree = good();
    let before = funnel::calls();
    let usable = tree.host().recheck(address(A), Some(group(320))).unwrap();
    assert_eq!(funnel::calls() - before, 14);
    assert_eq!(usable.address, address(A));
    assert_eq!(usable.group, group(320));
    assert_eq!(usable.driver.as_str(), "vfio-pci");
    assert_eq!(usable.node.kind, NodeKind::Group);
    assert_eq!(usable.node.host_path, Path::new("/dev/vfio/320"));
    assert_eq!(usable.shared_with, []);
    // No expectation is fine, and so is a class without the group.
    fs::remove_dir_all(tree.sys_path("class/vfio")).unwrap();
    let before = funnel::calls();
    assert_eq!(tree.host().recheck(address(A), None), Ok(usable));
    assert_eq!(funnel::calls() - before, 13);
}

#[test]
fn nothing_that_can_block_is_read() {
    let tree = good();
    for attribute in ["driver_override", "uevent", "sriov_numvfs"] {
        // A read of this file would fail, and a recheck that reads it with it.
        fs::create_dir(tree.device_directory(A).join(attribute)).unwrap();
    }
    assert!(tree.host().recheck(address(A), None).is_ok());
}

#[test]
fn a_function_that_is_gone() {
    let tree = good();
    fs::remove_file(tree.sys_path("bus/pci/devices").join(A)).unwrap();
    assert_eq!(
        refusal(&tree),
        Refusal::Gone {
            address: address(A)
        }
    );
    assert_eq!(
        refusal(&tree).to_string(),
        "PCI function 0000:17:00.1 is no longer on this node"
    );
    // The entry is still there while its target is not.
    let tree = good();
    fs::remove_dir_all(tree.device_directory(A)).unwrap();
    assert_eq!(
        refusal(&tree),
        Refusal::Gone {
            address: address(A)
        }
    );
}

#[test]
fn a_function_without_a_driver() {
    let tree = good();
    tree.unbind(A);
    let accepted = VfioDrivers::default();
    assert_eq!(
        refusal(&tree),
        Refusal::NoDriver {
            address: address(A),
            accepted
        }
    );
    assert_eq!(
        refusal(&tree).to_string(),
        "PCI function 0000:17:00.1 has no driver, or an unbind of it waits for a process that has it \
         open; end that process and bind the function to `vfio-pci` on the node"
    );
}

#[test]
fn a_function_on_another_driver() {
    let tree = good();
    tree.bind(A, "igbvf");
    assert_eq!(
        refusal(&tree).to_string(),
        "PCI function 0000:17:00.1 is bound to `igbvf`; bind it to `vfio-pci` on the node"
    );
    let mut host = tree.host();
    host.drivers = host.drivers.with("igbvf".parse().unwrap());
    assert!(host.recheck(address(A), None).is_ok());
}

#[test]
fn a_function_without_a_group() {
    let tree = good();
    fs::remove_file(tree.device_directory(A).join("iommu_group")).unwrap();
    assert_eq!(
        refusal(&tree),
        Refusal::NoGroup {
            address: address(A)
        }
    );
    let tree = good();
    fs::remove_file(tree.sys_path("kernel/iommu_groups/320/devices").join(A)).unwrap();
    assert_eq!(
        refusal(&tree),
        Refusal::NoGroup {
            address: address(A)
        }
    );
    fs::remove_dir_all(tree.sys_path("kernel/iommu_groups/320")).unwrap();
    assert_eq!(
        refusal(&tree),
        Refusal::NoGroup {
            address: address(A)
        }
    );
}

#[test]
fn a_function_that_moved() {
    let tree = good();
    fs::remove_dir_all(tree.sys_path("kernel/iommu_groups/320")).unwrap();
    tree.join(A, 400).node("vfio/400");
    tree.write("class/vfio/400/dev", "1:3\n");
    assert_eq!(
        refusal(&tree).to_string(),
        "PCI function 0000:17:00.1 moved from IOMMU group 320 to group 400"
    );
    assert_eq!(
        tree.host().recheck(address(A), None).unwrap().group,
        group(400)
    );
}

#[test]
fn a_group_with_a_foreign_driver() {
    let tree = good();
    tree.function(B).bind(B, "igb").join(B, 320);
    tree.platform_member("ff9c0000.dma", 320, "pl330");
    assert_eq!(
        refusal(&tree).to_string(),
        "PCI function 0000:17:00.1 cannot be isolated: IOMMU group 320 also holds 0000:17:00.2 \
         (igb), ff9c0000.dma (pl330); unbind that from its driver or bind it to `vfio-pci` on the node"
    );
}

#[test]
fn a_group_with_harmless_members() {
    let tree = good();
    tree.function(B).bind(B, "pcieport").join(B, 320);
    tree.function("0000:17:00.3").join("0000:17:00.3", 320);
    tree.function("0000:17:00.4")
        .bind("0000:17:00.4", "odd_variant")
        .join("0000:17:00.4", 320);
    fs::create_dir_all(tree.device_directory("0000:17:00.4").join("vfio-dev/vfio9")).unwrap();
    let before = funnel::calls();
    let usable = tree.host().recheck(address(A), None).unwrap();
    // Three drivers, one vfio-dev, one enable count more.
    assert_eq!(funnel::calls() - before, 14 + 3 + 1 + 3);
    assert_eq!(usable.shared_with, [address("0000:17:00.4")]);
}

#[test]
fn a_function_that_is_open() {
    let tree = good();
    fs::write(tree.device_directory(A).join("enable"), "1\n").unwrap();
    assert_eq!(
        refusal(&tree),
        Refusal::InUse {
            address: address(A),
            group: group(320)
        }
    );
    assert_eq!(
        refusal(&tree).to_string(),
        "PCI function 0000:17:00.1 is open in another process on this node; end that process, \
         `fuser -v` on the node of IOMMU group 320 in /dev/vfio names it"
    );
}

#[test]
fn a_group_that_is_open() {
    let tree = good();
    tree.function(B).bind(B, "vfio-pci").join(B, 320);
    assert_eq!(
        tree.host().recheck(address(A), None).unwrap().shared_with,
        [address(B)]
    );
    fs::write(tree.device_directory(B).join("enable"), "2\n").unwrap();
    assert_eq!(
        refusal(&tree).to_string(),
        "PCI function 0000:17:00.1 shares IOMMU group 320 with 0000:17:00.2, which is open in another \
         process on this node; end that process"
    );
}

#[test]
fn garbage_is_a_sentence_too() {
    let enable = |bytes: &[u8]| {
        let tree = good();
        fs::write(tree.device_directory(A).join("enable"), bytes).unwrap();
        refusal(&tree)
    };
    for bytes in [
        &b""[..],
        b"many",
        b"-1",
        b"\xff\xfe",
        b"99999999999999999999",
    ] {
        let Refusal::Read { reason, .. } = enable(bytes) else {
            panic!("{bytes:?}")
        };
        assert!(reason.contains("/enable`"), "{reason}");
    }
    let tree = good();
    fs::remove_file(tree.device_directory(A).join("driver")).unwrap();
    fs::write(tree.device_directory(A).join("driver"), "no link").unwrap();
    let text = refusal(&tree).to_string();
    assert!(text.contains("/driver`: Invalid argument"), "{text}");
    let tree = good();
    tree.write("class/vfio/320/dev", "no numbers");
    let text = refusal(&tree).to_string();
    assert!(
        text.contains("it holds `no numbers`, which is not of the form `major:minor`"),
        "{text}"
    );
}
