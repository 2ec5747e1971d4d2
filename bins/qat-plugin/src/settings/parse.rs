//! Values of flags and variables.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{AddrParseError, SocketAddr};
use std::num::{NonZeroUsize, ParseIntError};
use std::str::FromStr;

use qat_node::config::parse_time;
use qat_node::hints::Pace;
use qat_policy::Family;

pub(super) fn manage_binding(text: &str) -> Result<Option<bool>, String> {
    match text {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

pub(super) fn pace(text: &str) -> Result<Pace, String> {
    parse_time(text).map(Pace::Every)
}

pub(super) fn admin(text: &str) -> Result<Option<SocketAddr>, String> {
    let address = text.parse().map(Some);
    address.map_err(|_no_address: AddrParseError| {
        format!("`{text}` is no address with a port; for example 127.0.0.1:9746, or [::]:9746 for every address")
    })
}

pub(super) fn kernel_vf_drivers(text: &str) -> Result<BTreeSet<Family>, String> {
    qat_policy::parse_kernel_vf_drivers(text).map_err(|error| error.to_string())
}

pub(super) fn cap(text: &str) -> Result<Option<NonZeroUsize>, String> {
    text.trim()
        .parse()
        .map(Some)
        .map_err(|_not_a_count: ParseIntError| {
            format!("`{text}` is no whole number of at least 1; leave it out to offer every VF")
        })
}

pub(super) fn verbosity(text: &str) -> Result<u8, String> {
    text.trim()
        .parse()
        .map_err(|_not_a_number: ParseIntError| format!("`{text}` is no number from 0 to 255"))
}

/// A value whose own error says what is allowed.
pub(super) fn any<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
