//! The `nuvo-operator` binary.

fn main() {}
