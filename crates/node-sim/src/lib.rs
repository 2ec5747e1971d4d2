//! A simulated node: the sysfs and dev trees of real machines, and a strict kubelet.
#![forbid(unsafe_code)]

mod kubelet;
mod machine;
