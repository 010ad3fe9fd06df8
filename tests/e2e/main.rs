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
mod argocd;
mod clock_skew;
mod concurrency;
mod connections;
mod credentials;
mod documented_commands;
mod environment;
mod flux;
mod flux_controller;
mod hanging_watches;
mod hostile_answers;
mod large_objects;
mod later_versions;
mod leader_election;
mod lifecycle;
mod metrics;
mod mirrored_runs;
mod moved_clock;
mod multiple_operators;
mod observed_over_time;
mod observed_pipelines;
mod old_definition;
mod orchestrators;
mod outcomes;
mod pipelines;
mod plugin;
mod plugin_connection;
mod protocol;
mod rbac;
mod recordings;
mod repeated_doubts;
mod request_order;
mod restarts;
#[path = "../api/rules.rs"]
mod rules;
mod schedule_faults;
mod schedules;
mod schedules_and_runs;
mod schedules_at_once;
mod schedules_of_several_operators;
mod schedules_over_time;
mod schedules_restored;
mod schema;
mod slot_claims;
mod start_deadline;
mod startup_failures;
mod unused_locks;

use schema::{accepted, name_decided, refused};
