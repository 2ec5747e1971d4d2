//! passthrough.
