//! Tests of the node on simulated machines.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "`allow-unwrap-in-tests` does not reach helpers outside of `#[test]` functions"
)]

mod allocate;
mod calm;
mod config;
mod config_on_nodes;
mod judging;
mod ledger;
mod machine;
mod memory;
mod old_init;
mod partial;
#[cfg(feature = "probe")]
mod probe;
mod pulse;
mod ready;
mod syscalls;
mod uio;
