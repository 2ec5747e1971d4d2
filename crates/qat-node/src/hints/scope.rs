//! What is to be looked at again.

use std::collections::BTreeSet;

use sysfs_pci::{IommuGroupId, PciAddress};

/// With more than so many functions everything is looked at: that costs no more.
const MANY: usize = 64;

/// What is to be looked at again: everything, or what hints have named.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scope {
    everything: bool,
    functions: BTreeSet<PciAddress>,
    groups: BTreeSet<IommuGroupId>,
}

impl Scope {
    /// Everything.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// One function.
    #[must_use]
    pub fn function(address: PciAddress) -> Self {
        Self {
            functions: BTreeSet::from([address]),
            ..Self::default()
        }
    }

    /// The functions of a group, and its node.
    #[must_use]
    pub fn group(group: IommuGroupId) -> Self {
        Self {
            groups: BTreeSet::from([group]),
            ..Self::default()
        }
    }

    /// Adds what another names.
    pub fn add(&mut self, other: Self) {
        self.functions.extend(other.functions);
        self.groups.extend(other.groups);
        self.everything |= other.everything || self.functions.len() > MANY;
        if self.everything {
            self.functions.clear();
            self.groups.clear();
        }
    }

    /// Whether it is everything.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.everything
    }

    /// The functions that are named. None if it is everything.
    #[must_use]
    pub const fn functions(&self) -> &BTreeSet<PciAddress> {
        &self.functions
    }

    /// The groups that are named. None if it is everything.
    #[must_use]
    pub const fn groups(&self) -> &BTreeSet<IommuGroupId> {
        &self.groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_kept_until_it_is_too_much() {
        let function = |number: u8| {
            let address = PciAddress::new(0, number, 0, 0);
            Scope::function(address.unwrap())
        };
        let mut scope = Scope::default();
        for number in 0..64 {
            scope.add(function(number));
            scope.add(function(number));
        }
        assert_eq!(scope.functions().len(), 64);
        assert!(!scope.is_everything());
        scope.add(function(64));
        assert_eq!(scope, Scope::everything());
        scope.add(function(1));
        assert_eq!(scope, Scope::everything());
    }
}
