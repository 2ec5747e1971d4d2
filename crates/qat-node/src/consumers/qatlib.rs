//! Intel's library for QAT in user space.

use passthrough::contract::{Contract, Rule};

/// qatlib in an ordinary container, without its daemon (`QAT_POLICY` in the environment).
///
/// It reads no variable with an address: it lists `/dev/vfio`, opens every entry but the control node, and looks the
/// function up in `/sys/kernel/iommu_groups`. A group with more than one device it leaves out.
pub const QATLIB: Contract = Contract {
    code: "qatlib",
    title: "qatlib in a container",
    source: "intel/qatlib quickassist/lookaside/access_layer/src/qat_direct/vfio/qat_mgr_lib.c",
    rules: &[
        Rule::ShortDomain,
        Rule::Control,
        Rule::Groups,
        Rule::NoCompanions,
        Rule::ReadWrite,
        Rule::AnyUser,
    ],
};
