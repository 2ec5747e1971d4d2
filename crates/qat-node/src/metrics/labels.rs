//! What the metrics are told apart by.

use prometheus_client::encoding::EncodeLabelSet;

/// A resource.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct Resource {
    pub(super) resource: String,
}

/// The devices of a resource that are well, or not.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct ResourceHealth {
    pub(super) resource: String,
    pub(super) health: String,
}

/// The devices of a resource that are Unhealthy, by reason.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct ResourceReason {
    pub(super) resource: String,
    pub(super) reason: String,
}

/// A state of a resource with the kubelet.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct ResourceState {
    pub(super) resource: String,
    pub(super) state: String,
}

/// A call of the kubelet.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct CallLabel {
    pub(super) call: String,
}

/// A call of the kubelet with its result.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct Answered {
    pub(super) resource: String,
    pub(super) call: String,
    pub(super) result: String,
}

/// Looks at everything, or at a part.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct LookLabel {
    pub(super) at: String,
}

/// Why a VF is not offered.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct Reason {
    pub(super) reason: String,
}

/// A PF.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct Pf {
    pub(super) pf: String,
}

/// A PF and what is wrong with it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct SickPf {
    pub(super) pf: String,
    pub(super) reason: String,
}

/// Errors of a PF: who counts them, and how bad they are.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct PfErrors {
    pub(super) pf: String,
    pub(super) source: String,
    pub(super) severity: String,
}

/// Whether a configuration that was read could be used.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct Reloaded {
    pub(super) result: &'static str,
}

/// A version of the configuration file.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct ConfigVersion {
    pub(super) sha256: String,
}
