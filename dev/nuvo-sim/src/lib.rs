//! nuvo-sim
