//! What services a device can be configured for.

use crate::service::Service;
use crate::services::ServiceSet;

/// Which sets of services a device can be configured for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ServiceSupport {
    /// Nothing can be chosen and nothing is reported: generations 1 to 3.
    Fixed,
    /// One or two of `asym`, `sym`, `dc`; or `dcc` alone. Generations 4 and 5.
    Gen4,
    /// One to three of `asym`, `sym`, `dc`, `decomp`; or `dcc` alone. Generation 6.
    Gen6,
}

impl ServiceSupport {
    /// Tells whether services can be chosen at all, and so whether a PF should report them.
    pub const fn is_configurable(self) -> bool {
        !matches!(self, Self::Fixed)
    }

    /// Tells whether a device can be configured for this set.
    ///
    /// This is for planning. A set that a kernel *reports* is believed even if this table does not
    /// know it.
    pub fn allows(self, set: ServiceSet) -> bool {
        let alone = set.len() == 1;
        match self {
            Self::Fixed => false,
            _ if set.contains(Service::Dcc) => alone,
            Self::Gen4 => !set.contains(Service::Decomp) && set.len() <= 2,
            Self::Gen6 => set.len() <= 3,
        }
    }

    /// Returns every set a device can be configured for; none for [`ServiceSupport::Fixed`].
    pub fn allowed(self) -> Vec<ServiceSet> {
        ServiceSet::every()
            .filter(|set| self.allows(*set))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(support: ServiceSupport) -> Vec<String> {
        support.allowed().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn support_per_generation() {
        assert!(texts(ServiceSupport::Fixed).is_empty());
        assert_eq!(
            texts(ServiceSupport::Gen4),
            ["asym", "sym", "asym;sym", "dc", "asym;dc", "sym;dc", "dcc"]
        );
        let gen6 = ServiceSupport::Gen6;
        for yes in [
            "asym;sym;dc",
            "asym;sym;decomp",
            "decomp",
            "dcc",
            "sym;dc;decomp",
        ] {
            assert!(gen6.allows(yes.parse().unwrap()), "{yes}");
        }
        for no in ["asym;sym;dc;decomp", "dc;dcc", "dcc;decomp"] {
            assert!(!gen6.allows(no.parse().unwrap()), "{no}");
        }
        assert_eq!(gen6.allowed().len(), 4 + 6 + 4 + 1);
    }
}
