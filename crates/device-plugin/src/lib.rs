//! device-plugin.
