//! End to end: the operator as a process, against a real kube-apiserver and etcd, and a simulator of nuvo over real sockets.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test ends where it cannot go on"
)]

mod accounts;
mod answers;
mod credentials;
mod docs;
mod election;
mod instances;
mod lifecycle;
mod metrics;
mod outcomes;
mod plugin;
mod protocol;
mod recordings;
mod rights;
mod start;
mod watches;
mod world;
