//! What comes from outside, fuzzed: nuvo's answers, the answers of the shell to the core, and the objects in the API server.
//!
//! Each target is a function of bytes. `cargo test --test fuzz` plays the kept corpus and a fixed sequence of mutations of it, the same
//! each time (`steady.rs` says how to play longer, or one input). Where nightly is at hand, libFuzzer looks for inputs that reach new
//! code (docs/reliability.md); what it finds is kept in `corpus/`.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test ends where it cannot go on"
)]

mod answer;
mod any;
mod bytes;
mod decision;
mod decoder;
mod json;
mod status;
#[cfg(not(fuzzing))]
mod steady;
mod store;

macro_rules! target {
    ($name:ident, $usual:expr) => {
        #[test]
        fn $name() {
            #[cfg(fuzzing)]
            bolero::check!().for_each($name::check);
            #[cfg(not(fuzzing))]
            steady::play(stringify!($name), $usual, $name::check);
        }
    };
}

target!(decision, 10_000);
target!(decoder, 4_000);
target!(status, 30_000);
