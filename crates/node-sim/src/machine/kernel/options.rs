//! Kernels differ.

/// A Linux release, for what its QAT drivers do with writes.
///
/// Each is the first with its set of rules; later releases keep them until the next one here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KernelRelease {
    /// `cfg_services` takes `sym;asym` and `dc`; VFs cannot be removed through `sriov_numvfs`
    /// (EINVAL); a second `down` is EINVAL.
    V6_1,
    /// `cfg_services` takes ten exact texts, and keeps them as they are written.
    V6_7,
    /// A 0 in `sriov_numvfs` removes VFs (ca88a2bdd4dd); VFs need an IOMMU, else EINVAL.
    #[default]
    V6_12,
    /// `cfg_services` takes services in any order and reads back `asym;sym;dc;dcc`.
    V6_15,
    /// VFs without an IOMMU again (53669ff591d4); `decomp` on 6xxx (8f2e1a3cd788).
    V6_17,
}
