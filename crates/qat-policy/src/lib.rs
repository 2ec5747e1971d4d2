//! What Intel QuickAssist (QAT) devices are, and what a node may offer of them.
//!
//! # QAT in one page
//!
//! A QAT device is an accelerator for cryptography and compression. It shows up on the PCI bus as
//! one *physical function* (PF), for example `8086:4940`. The PF belongs to a kernel driver
//! (`4xxx`), which loads the firmware and decides what the device does. With SR-IOV the PF makes
//! *virtual functions* (VFs), for example `8086:4941`: small PCI functions with a few ring pairs of
//! their own. A VF can be given to a virtual machine or to a process through VFIO while the PF
//! stays with the host. The QAT driver creates all VFs of a PF or none: it ignores the number
//! written to `sriov_numvfs`.
//!
//! **Services.** A device of generation 4 or newer is told what to do: public key cryptography
//! (`asym`), symmetric cryptography (`sym`), compression (`dc`), chained compression (`dcc`),
//! decompression only (`decomp`). The PF's attribute `qat/cfg_services` holds the list
//! (`Documentation/ABI/testing/sysfs-driver-qat`), and *every VF of the PF has the services of the
//! PF*. Older devices always do everything they can; they have no such attribute. See
//! [`ServiceSet`] and [`ServiceSupport`].
//!
//! **Generations.** [`Family`] is the table of all devices this crate knows: ids of PF and VF,
//! names of the drivers, number of VFs, what services can be chosen, and whether `vfio-pci` has
//! them on its denylist. [`identify`] looks an id up; vendor and device must both match. Other
//! vendors use the same device numbers, and other Intel devices have the same class code, so
//! neither is enough alone.
//!
//! **Pools.** A pool is the set of VFs that are interchangeable for a workload, which by default
//! means: VFs with the same services. Its [`PoolName`] becomes the last part of the Kubernetes
//! resource (`qat.intel.com/cy`). Pods ask for that name in their manifests, so names matter: a
//! node on which the name changes has no room for the pods that ran yesterday. Newer kernels hand
//! back the services in a fixed order whatever was written, older ones in the order that was
//! written. Canonical names ([`ResourceNames::Canonical`]) do not depend on that.
//!
//! # How this crate is used
//!
//! 1. [`depth`] tells a `sysfs_pci` scan which functions deserve a closer look.
//! 2. [`read_pf`] reads the services of each PF: the only input and output of this crate.
//! 3. [`Inventory::build`] is a pure function from [`Facts`] and [`Rules`] to the PFs, their
//!    [troubles](PfTrouble), and the VFs, each [offered or withheld with a reason](Standing).
//! 4. [`prefer`] answers the kubelet's question which of the free VFs a container should get.
//!
//! ```
//! use qat_policy::{Family, FunctionKind, ResourceNames, Services, identify, pool_name};
//! use sysfs_pci::PciId;
//!
//! assert_eq!(identify(PciId::new(0x8086, 0x4941)), Some((Family::Gen4_4xxx, FunctionKind::Vf)));
//! assert_eq!(identify(PciId::new(0x10de, 0x4941)), None);
//!
//! let services = Services::parse("dc;sym")?;
//! assert_eq!(pool_name(Some(&services), ResourceNames::Canonical)?.as_str(), "sym-dc");
//! assert_eq!(pool_name(Some(&services), ResourceNames::AsRead)?.as_str(), "dc-sym");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is decided here, and why
//!
//! - **A VF in a guest has no visible PF**, so nobody can know its services. It goes to the pool
//!   `generic`, as Intel's Go plugin does.
//! - **Services that should be readable but are not** (permission denied, an I/O error, a word
//!   nobody knows) *withhold* the VFs of that PF. The Go plugin offers them as `generic`; then a
//!   pod that asks for `generic` may get a VF that only compresses, and a short read error moves
//!   sixteen VFs from one resource to another while pods hold them. See [`Reason::Services`].
//! - **A kernel that has neither `qat/cfg_services` nor a `dev_cfg` that names the services**
//!   (older than 6.0 without debugfs, or a vendor driver that says nothing) gives no error to
//!   report. Those VFs are `generic`.
//! - **A VF whose PF is on `vfio-pci`, on no driver or on a foreign one is withheld**: without its
//!   PF's driver no firmware runs, and with the PF on `vfio-pci` the kernel demands a VF token from
//!   every user.
//! - **VFs on `igb_uio` are offered if that is asked for** ([`VfDrivers::Uio`]), with their UIO device. IOMMU,
//!   groups and the denylist of `vfio-pci` do not matter then.
//! - **One VF of a shared IOMMU group is offered**, the one with the lowest address: VFIO gives a
//!   group to one owner.
//!
//! # Not covered
//!
//! Health over time, binding and provisioning are not here. 0434/0442 (`DH89xxCC`), the C2000 and
//! the wireless variants (0x578b) are not identified: no current driver supports them as a source
//! of VFs.

#![forbid(unsafe_code)]

mod binding;
mod dev_cfg;
mod drivers;
mod family;
pub mod health;
mod inventory;
mod names;
mod preference;
pub mod provision;
mod reading;
mod selector;
mod service;
mod services;
mod support;
mod table;
mod vf_drivers;

pub use self::binding::bind_rules;
pub use self::drivers::{
    UnknownDrivers, families_of_driver, kernel_vf_driver_names, parse_kernel_vf_drivers,
    vfio_drivers,
};
pub use self::family::{
    Family, FamilySpec, FunctionKind, Generation, UnknownFamily, depth, identify,
};
pub use self::inventory::{Facts, Inventory, Pf, PfTrouble, Reason, Rules, Standing, Vf, check_pf};
pub use self::names::{
    InvalidPoolName, PoolName, PoolNames, ResourceNames, Spellings, UnknownResourceNames,
    pool_name, spellings,
};
pub use self::preference::{AllocationPolicy, Place, UnknownPolicy, prefer};
pub use self::reading::{DebugfsRoot, PfReading, ReadingError, read_pf};
pub use self::selector::{InvalidVfRange, Selector, Traits, VfRange};
pub use self::service::Service;
pub use self::services::{ServiceSet, ServiceSetError, Services};
pub use self::support::ServiceSupport;
pub use self::vf_drivers::{UnknownVfDriver, VfDrivers};
