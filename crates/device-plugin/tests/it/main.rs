//! Plugins over real unix sockets, with a small kubelet.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it needs"
)]

mod answers;
mod cdi;
mod kubelet;
mod observer;
mod plugin;
mod pods;
mod race;
mod registration;
mod restart;
mod shutdown;
mod sockets;
