//! Holds the package together; the examples are beside this file.
#![forbid(unsafe_code)]
