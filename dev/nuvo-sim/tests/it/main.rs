//! The simulator over real sockets, as a program under test meets it.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of this crate is tests; clippy.toml's exceptions reach only the test functions themselves"
)]

mod admin_api;
mod command_line;
mod execution_list;
mod executions;
mod faults;
mod test_client;
mod tokens;
