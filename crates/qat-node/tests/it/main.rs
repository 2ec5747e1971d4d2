//! Tests of the node on simulated machines.
#![forbid(unsafe_code)]

mod allocate;
mod judging;
mod machine;
mod syscalls;
