//! End-to-end tests and the rules of the workspace, one module for each subject.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "`allow-unwrap-in-tests` does not reach helpers outside of `#[test]` functions"
)]

mod admin;
mod bad_input;
mod book;
mod check;
mod consumers;
mod deploy;
mod drop_in;
mod faults;
mod health;
mod hints;
mod hostile;
mod leave;
mod lifecycle;
mod manifests;
mod monitoring;
mod names;
mod plugins;
mod profiles;
mod provision;
mod rejections;
mod reload;
mod render;
mod restart;
mod rivals;
mod samples;
mod snapshots_of_nodes;
mod storms;
mod uio;
mod upgrade;
mod verify;
mod workspace;
