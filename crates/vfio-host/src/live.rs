//! IOMMU groups as they are now.

use std::io::ErrorKind;

use sysfs_pci::{DriverName, IommuGroupId, PciAddress, SysfsRoot, decimal, fs};

use crate::{Group, HostError, Member};

/// Reads one group now, members on other buses included.
///
/// Makes the calls of one directory listing, 1 for each member, and 1 more for each member that has a
/// driver. A member that goes away meanwhile is read as one without a driver, which is as harmless.
///
/// # Errors
///
/// [`HostError::NoGroup`] when the group does not exist, the other variants when it cannot be read.
pub fn read_group(sysfs: &SysfsRoot, group: IommuGroupId) -> Result<Group, HostError> {
    let members = names(sysfs, group)?
        .into_iter()
        .map(|name| member(sysfs, group, name, |_driver| true))
        .collect::<Result<_, _>>()?;
    Ok(Group { id: group, members })
}

/// Reads one member: 1 call for the driver, 1 for `vfio-dev` if `look` wants that for the driver.
pub(crate) fn member(
    sysfs: &SysfsRoot,
    group: IommuGroupId,
    name: String,
    look: impl Fn(&DriverName) -> bool,
) -> Result<Member, HostError> {
    let directory = sysfs.iommu_group(group).join("devices").join(&name);
    let driver = match fs::link_name(&directory.join("driver")) {
        Ok(driver) => match driver.parse() {
            Ok(driver) => Some(driver),
            Err(_) => {
                return Err(HostError::DriverName {
                    group,
                    member: name,
                    driver,
                });
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(source) => {
            return Err(HostError::Member {
                group,
                member: name,
                source,
            });
        }
    };
    let vfio = driver.as_ref().is_some_and(look)
        && fs::stat(&directory.join("vfio-dev")).is_ok_and(|stat| stat.is_dir);
    let address = address_of(&name);
    Ok(Member {
        name,
        address,
        driver,
        driver_unreadable: false,
        vfio,
    })
}

/// The names of a group's members: PCI functions by address, then the others. One listing.
pub(crate) fn names(sysfs: &SysfsRoot, group: IommuGroupId) -> Result<Vec<String>, HostError> {
    let entries = fs::list(&sysfs.iommu_group(group).join("devices")).map_err(|source| {
        if source.is_gone() {
            HostError::NoGroup { group }
        } else {
            HostError::List { group, source }
        }
    })?;
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
    names.sort_by_cached_key(|name| {
        let address = address_of(name);
        (address.is_none(), address, name.clone())
    });
    Ok(names)
}

/// The PCI address in a member's name, without the number that the kernel adds to a name that exists
/// already (`iommu_group_add_device` in `drivers/iommu/iommu.c`).
pub(crate) fn address_of(name: &str) -> Option<PciAddress> {
    name.parse().ok().or_else(|| {
        let (address, number) = name.rsplit_once('.')?;
        decimal::<u32>(number)?;
        address.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_number_of_a_collision_is_left_out() {
        let address = "0000:17:00.1".parse().ok();
        assert_eq!(address_of("0000:17:00.1"), address);
        assert_eq!(address_of("0000:17:00.1.0"), address);
        assert_eq!(address_of("0000:17:00.1.12"), address);
        assert_eq!(address_of("10000:17:00.1.0"), "10000:17:00.1".parse().ok());
    }

    #[test]
    fn other_buses_have_no_address() {
        for name in [
            "dprc.1",
            "ff9c0000.dma",
            "fd5d0000.usb.0",
            "0000:17:00.1.x",
            "0000:17:00.1.",
            "",
        ] {
            assert_eq!(address_of(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_name_makes_it_panic(name in ".{0,40}") {
            let _address = address_of(&name);
        }
    }
}
