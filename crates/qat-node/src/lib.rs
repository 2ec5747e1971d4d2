//! qat-node.
