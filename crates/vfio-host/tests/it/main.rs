//! Integration tests of the `vfio-host` crate, one binary.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

/// What may be bound and given back, decided.
mod bind_plan;
/// Binding and giving back, done.
mod binder;
/// Single facts: IOMMU, no-IOMMU groups, the deny-list.
mod facts;
/// Groups from scans and from live reads, and their viability.
mod group;
/// Device nodes.
mod node;
/// Asking VFIO itself. These trees have no VFIO behind them.
#[cfg(feature = "probe")]
mod probe;
/// The check before a function is handed out.
mod recheck;
/// The node that is wanted before a function is handed out.
mod recheck_node;
/// Groups from scans, against what a recheck says.
mod scanned;
/// Trees that look like sysfs and `/dev`.
mod tree;
/// Functions on a UIO driver.
mod uio;
/// Commands in a process of their own.
mod worker;
