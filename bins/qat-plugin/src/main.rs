//! qat-plugin.

fn main() {}
