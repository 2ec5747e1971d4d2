//! Which VFs a pool takes.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use sysfs_pci::{NumaNode, PciAddress, VfIndex};
use thiserror::Error;

use crate::family::Family;
use crate::services::{ServiceSet, Services};

/// Which VFs a pool takes. Every condition must hold; one that is not given holds for every VF.
///
/// ```
/// use qat_policy::{Selector, Traits};
///
/// let fast = Selector { services: Some("sym".parse()?), vfs: Some("0-7".parse()?), ..Selector::default() };
/// assert_eq!(fast.to_string(), "services sym, VFs 0-7");
/// assert!(!fast.takes(&Traits { services: Some(&qat_policy::Services::parse("dc")?), ..Traits::default() }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selector {
    /// VFs of this family.
    pub family: Option<Family>,
    /// VFs of these PFs; empty: of every PF.
    pub pfs: BTreeSet<PciAddress>,
    /// VFs with these numbers on their PF.
    pub vfs: Option<VfRange>,
    /// VFs at this NUMA node.
    pub numa_node: Option<NumaNode>,
    /// VFs whose PF is configured for exactly these services.
    pub services: Option<ServiceSet>,
}

/// What is known of a VF that a selector asks for. What is not known fits no condition.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traits<'a> {
    /// Its family.
    pub family: Option<Family>,
    /// Its PF; none in a guest.
    pub pf: Option<PciAddress>,
    /// Its number on the PF.
    pub index: Option<VfIndex>,
    /// Its NUMA node.
    pub numa_node: Option<NumaNode>,
    /// Its services; none if they cannot be chosen.
    pub services: Option<&'a Services>,
}

/// Numbers of VFs on their PF, from the first to the last: `0-7`, or `3` for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VfRange {
    /// The first number.
    pub first: VfIndex,
    /// The last, which is in it.
    pub last: VfIndex,
}

/// A text that is no range of VFs.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "`{text}` is no range of VFs; write the first and the last number, such as 0-7, or one number"
)]
pub struct InvalidVfRange {
    /// The text.
    pub text: String,
}

impl Selector {
    /// Whether a VF is one of these.
    #[must_use]
    pub fn takes(&self, vf: &Traits<'_>) -> bool {
        self.family.is_none_or(|family| vf.family == Some(family))
            && (self.pfs.is_empty() || vf.pf.is_some_and(|pf| self.pfs.contains(&pf)))
            && self
                .vfs
                .is_none_or(|range| vf.index.is_some_and(|index| range.contains(index)))
            && self.numa_node.is_none_or(|node| vf.numa_node == Some(node))
            && self
                .services
                .is_none_or(|set| vf.services.is_some_and(|services| services.set == set))
    }

    /// Whether it takes every VF that another takes, so that after it the other takes none.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        fn same<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
            one.is_none() || one == other
        }
        let pfs = self.pfs.is_empty() || (!other.pfs.is_empty() && other.pfs.is_subset(&self.pfs));
        let vfs = self.vfs.is_none_or(|range| {
            let within = |other: VfRange| range.first <= other.first && other.last <= range.last;
            other.vfs.is_some_and(within)
        });
        same(self.family.as_ref(), other.family.as_ref())
            && pfs
            && vfs
            && same(self.numa_node.as_ref(), other.numa_node.as_ref())
            && same(self.services.as_ref(), other.services.as_ref())
    }
}

impl Display for Selector {
    /// The conditions, for people.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let pfs: Vec<String> = self.pfs.iter().map(ToString::to_string).collect();
        let conditions = [
            self.family.map(|family| format!("family {family}")),
            (!pfs.is_empty()).then(|| format!("PF {}", pfs.join(" "))),
            self.services.map(|services| format!("services {services}")),
            self.vfs.map(|range| format!("VFs {range}")),
            self.numa_node.map(|node| format!("NUMA node {node}")),
        ];
        let conditions: Vec<String> = conditions.into_iter().flatten().collect();
        if conditions.is_empty() {
            return f.write_str("every VF");
        }
        f.write_str(&conditions.join(", "))
    }
}

impl VfRange {
    /// Whether a number is in it.
    #[must_use]
    pub fn contains(self, index: VfIndex) -> bool {
        (self.first..=self.last).contains(&index)
    }
}

impl Display for VfRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(f, "{}", self.first);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for VfRange {
    type Err = InvalidVfRange;

    fn from_str(text: &str) -> Result<Self, InvalidVfRange> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits
                .then(|| text.parse().ok().map(VfIndex::new))
                .flatten()
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(InvalidVfRange {
                text: text.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> VfRange {
        text.parse().unwrap()
    }

    #[test]
    fn ranges() {
        assert_eq!(range("0-7").to_string(), "0-7");
        assert_eq!(range("3").to_string(), "3");
        for bad in ["", "-", "7-0", "a", "1-2-3", "+1", "-1", "70000", "1 - 2"] {
            assert!(bad.parse::<VfRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_known_fits_no_condition() {
        assert!(Selector::default().takes(&Traits::default()));
        let conditions = [
            Selector {
                family: Some(Family::C62x),
                ..Selector::default()
            },
            Selector {
                pfs: ["0000:6b:00.0".parse().unwrap()].into(),
                ..Selector::default()
            },
            Selector {
                vfs: Some(range("0-7")),
                ..Selector::default()
            },
            Selector {
                numa_node: Some(NumaNode::new(0)),
                ..Selector::default()
            },
            Selector {
                services: Some(ServiceSet::CRYPTO),
                ..Selector::default()
            },
        ];
        for one in conditions {
            assert!(!one.takes(&Traits::default()), "{one}");
            assert!(Selector::default().covers(&one), "{one}");
            assert!(!one.covers(&Selector::default()), "{one}");
            assert!(one.covers(&one), "{one}");
        }
    }

    fn selectors() -> impl Strategy<Value = Selector> {
        let family = prop::option::of(prop::sample::select(Family::all().to_vec()));
        let pfs = prop::collection::btree_set(
            prop::sample::select(vec!["0000:6b:00.0", "0000:70:00.0"])
                .prop_map(|pf| pf.parse().unwrap()),
            0..=2,
        );
        let vfs = prop::option::of((0..4_u16, 0..4_u16).prop_map(|(first, more)| VfRange {
            first: VfIndex::new(first),
            last: VfIndex::new(first + more),
        }));
        let numa_node = prop::option::of((0..2_u32).prop_map(NumaNode::new));
        (family, pfs, vfs, numa_node).prop_map(|(family, pfs, vfs, numa_node)| Selector {
            family,
            pfs,
            vfs,
            numa_node,
            services: None,
        })
    }

    proptest! {
        #[test]
        fn one_that_covers_another_takes_what_the_other_takes(
            one in selectors(),
            other in selectors(),
            family in prop::sample::select(Family::all().to_vec()),
            index in 0..8_u16,
            node in 0..2_u32,
        ) {
            let pf = "0000:6b:00.0".parse().ok();
            let vf = Traits {
                family: Some(family),
                pf,
                index: Some(VfIndex::new(index)),
                numa_node: Some(NumaNode::new(node)),
                services: None,
            };
            prop_assert!(!(one.covers(&other) && other.takes(&vf) && !one.takes(&vf)));
        }
    }
}
