//! Examples; see `simulated_node/main.rs`.
