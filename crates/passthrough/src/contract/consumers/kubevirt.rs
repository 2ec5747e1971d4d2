//! KubeVirt's virt-launcher and virt-handler.

use super::super::{Contract, Naming, Rule};

/// KubeVirt, with a resource in `permittedHostDevices` that has `externalResourceProvider: true`.
///
/// virt-launcher takes an address off the variable for each device that was asked for, in order, and gives it to
/// libvirt with `managed='no'`. It tries the variable of mediated devices for the same resource, and if both have an
/// address it refuses the machine over the count. An address has a domain of four digits. virt-handler gives the
/// group's node to QEMU's user, but only where it finds the control node.
pub const KUBEVIRT: Contract = Contract {
    code: "kubevirt",
    title: "KubeVirt",
    source: "kubevirt/kubevirt pkg/util/util.go, pkg/util/hardware/hw_utils.go, \
             pkg/virt-launcher/virtwrap/device/hostdevice/addresspool.go, pkg/virt-handler/non-root.go",
    rules: &[
        Rule::NotUio,
        Rule::Addresses(Naming::Kubevirt),
        Rule::Never(Naming::KubevirtMdev),
        Rule::ShortDomain,
        Rule::Control,
        Rule::Groups,
        Rule::ReadWrite,
    ],
};

/// KubeVirt 1.9 with the feature gate `IOMMUFD`.
///
/// QEMU opens the function's character device then, so that must be there; `/dev/iommu` comes as an open file from
/// KubeVirt itself. virt-handler changes the owner of what lies in `/dev/vfio`, but not one level deeper, so the
/// character device is for root unless the runtime or CDI gives it away.
pub const KUBEVIRT_IOMMUFD: Contract = Contract {
    code: "kubevirt-iommufd",
    title: "KubeVirt with IOMMUFD",
    source: "kubevirt/kubevirt pkg/virt-handler/device-manager/common.go, pkg/virt-launcher/virtwrap/iommufd.go, \
             pkg/virt-handler/non-root.go",
    rules: &[
        Rule::NotUio,
        Rule::Addresses(Naming::Kubevirt),
        Rule::Never(Naming::KubevirtMdev),
        Rule::ShortDomain,
        Rule::Control,
        Rule::Cdevs,
        Rule::ReadWrite,
        Rule::AnyUser,
    ],
};
