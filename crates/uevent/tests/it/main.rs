//! Integration tests of the `uevent` crate, one binary.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "helpers of tests panic and print as tests do"
)]

/// The parser: real datagrams, malformed ones, properties.
mod parse;
/// The socket against the real kernel.
mod socket;
