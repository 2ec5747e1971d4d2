//! qat-inspect.

fn main() {}
