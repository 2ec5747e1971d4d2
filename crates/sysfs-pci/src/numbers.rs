//! Numbers that must not be mixed up.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::{ParseError, decimal};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $expected:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Wraps the number.
            #[must_use]
            pub const fn new(number: $inner) -> Self {
                Self(number)
            }

            /// The number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl Display for $name {
            fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
                Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                decimal(text)
                    .map(Self)
                    .ok_or_else(|| ParseError::new(text, $expected))
            }
        }
    };
}

number!(
    /// The number of an IOMMU group: a directory in `kernel/iommu_groups`.
    ///
    /// The kernel gives numbers out in the order in which functions appear, lowest free first.
    /// A function that is removed and made again may get another one.
    IommuGroupId(u32),
    "an IOMMU group number such as `320`"
);

number!(
    /// The number of a virtual function of its physical function, from 0: the N of `virtfnN`.
    VfIndex(u16),
    "the index of a virtual function, 0 to 65535"
);

number!(
    /// A NUMA node. Where sysfs says -1 ("not known"), this crate says `None`.
    NumaNode(u32),
    "a NUMA node number such as `0`"
);

impl VfIndex {
    /// The index in the name of a `virtfnN` link, `None` if `name` is anything else.
    ///
    /// Only names that the kernel would make count: decimal, no sign, no leading zero, 16 bits.
    ///
    /// ```
    /// use sysfs_pci::VfIndex;
    ///
    /// assert_eq!(VfIndex::from_link_name("virtfn10"), Some(VfIndex::new(10)));
    /// assert_eq!(VfIndex::from_link_name("virtfn-1"), None);
    /// ```
    #[must_use]
    pub fn from_link_name(name: &str) -> Option<Self> {
        decimal(name.strip_prefix("virtfn")?).map(Self)
    }

    /// The name of the link that a physical function has to this virtual function.
    #[must_use]
    pub fn link_name(self) -> String {
        format!("virtfn{}", self.0)
    }
}
