//! Tests of the simulated node.

mod kubelet;
#[cfg(test)]
mod trees;
