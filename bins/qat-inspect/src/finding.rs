//! One thing that is wrong.

use std::borrow::Cow;

use serde::Serialize;

use crate::catalogue::{Entry, Severity, entry};

/// One thing that is wrong with one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Finding {
    /// `QAT012`, or nothing for a code that only a newer plugin knows.
    pub(crate) id: Option<String>,
    pub(crate) severity: Severity,
    pub(crate) kind: Kind,
    /// Which one: an address, the number of a group, a path.
    pub(crate) name: String,
    /// A stable short code.
    pub(crate) code: Cow<'static, str>,
    /// A sentence for people.
    pub(crate) text: String,
}

/// What can have something wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A physical function.
    Pf,
    /// A virtual function.
    Vf,
    /// A function that cannot be read.
    Function,
    /// A resource.
    Resource,
    /// The machine as a whole, or a part of it.
    Machine,
    /// An IOMMU group.
    #[cfg(feature = "probe")]
    Group,
    /// The control node of VFIO.
    #[cfg(feature = "probe")]
    Control,
}

impl Finding {
    /// With number and severity as the catalogue has them.
    pub(crate) fn new(
        kind: Kind,
        name: String,
        code: impl Into<Cow<'static, str>>,
        text: String,
    ) -> Self {
        let code = code.into();
        let entry = entry(&code);
        Self {
            id: entry.map(Entry::id),
            severity: entry.map_or(Severity::Warning, |entry| entry.severity),
            kind,
            name,
            code,
            text,
        }
    }

    /// Whether one sentence does for both. That of a group names its node.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.code == other.code
            && (self.text == other.text || self.kind.names_itself())
    }
}

impl Kind {
    fn names_itself(self) -> bool {
        match self {
            Self::Pf | Self::Vf | Self::Function => false,
            Self::Resource | Self::Machine => true,
            #[cfg(feature = "probe")]
            Self::Group => true,
            #[cfg(feature = "probe")]
            Self::Control => false,
        }
    }

    /// For one, and for several.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Pf => ("PF", "PFs"),
            Self::Vf => ("VF", "VFs"),
            Self::Function => ("function", "functions"),
            Self::Resource => ("resource", "resources"),
            Self::Machine => ("machine", "parts of the machine"),
            #[cfg(feature = "probe")]
            Self::Group => ("IOMMU group", "IOMMU groups"),
            #[cfg(feature = "probe")]
            Self::Control => ("node", "nodes"),
        }
    }
}
