//! The nuvo operator: a `PipelineRun` object is one run of a nuvo data pipeline.
//!
//! Every decision is made in `nuvo-core`; this crate carries them out. Start reading at [`controller`].

pub mod access;
pub mod account;
pub mod config;
pub mod controller;
pub mod http;
pub mod leader;
pub mod operator;
pub mod rbac;
pub mod shutdown;
pub mod telemetry;

pub use operator::{StartError, run_operator};
