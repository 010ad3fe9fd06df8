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
mod bytes;
mod decoder;
mod json;
#[cfg(not(fuzzing))]
mod steady;

macro_rules! target {
    ($name:ident) => {
        #[test]
        fn $name() {
            #[cfg(fuzzing)]
            bolero::check!().for_each($name::check);
            #[cfg(not(fuzzing))]
            steady::play(stringify!($name), $name::check);
        }
    };
}

target!(decoder);
