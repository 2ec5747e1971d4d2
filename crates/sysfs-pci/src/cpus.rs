//! Sets of CPUs in the kernel's list form.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;

use crate::text::{ParseError, decimal, serde_as_text};

const EXPECTED: &str = "a list of CPUs such as `0-31,64-95`";

/// A set of CPUs, written in the kernel's list form: `0-31,64-95`.
///
/// It is held as ranges, so a list costs what its text costs, whatever numbers it names. Ranges
/// that overlap or touch are merged; the empty text is the empty set, which is what a NUMA node
/// without CPUs has.
///
/// ```
/// use sysfs_pci::CpuList;
///
/// let cpus: CpuList = "4-5,0-3,64".parse()?;
/// assert_eq!(cpus.to_string(), "0-5,64");
/// assert!(cpus.contains(5));
/// assert_eq!(cpus.len(), 7);
/// # Ok::<(), sysfs_pci::ParseError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct CpuList {
    /// First and last of each range; sorted, and with a gap between neighbours.
    ranges: Vec<(u32, u32)>,
}

impl CpuList {
    /// Whether the set has this CPU.
    pub fn contains(&self, cpu: u32) -> bool {
        self.ranges
            .iter()
            .any(|&(first, last)| (first..=last).contains(&cpu))
    }

    /// The CPUs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.ranges.iter().flat_map(|&(first, last)| first..=last)
    }

    /// How many CPUs the set has.
    pub fn len(&self) -> u64 {
        self.ranges
            .iter()
            .map(|&(first, last)| u64::from(last - first) + 1)
            .sum()
    }

    /// Whether the set has no CPU.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let mut ranges = text.split(',').map(range).collect::<Option<Vec<_>>>()?;
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Some(Self { ranges: merged })
    }
}

fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (decimal(first)?, decimal(last)?);
    (first <= last).then_some((first, last))
}

impl Display for CpuList {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for CpuList {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| ParseError::new(text, EXPECTED))
    }
}

serde_as_text!(CpuList);
