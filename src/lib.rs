//! The nuvo operator: a `PipelineRun` object is one run of a nuvo data pipeline.
//!
//! Every decision is made in `nuvo-core`; this crate carries them out. Start reading at [`controller`].

pub mod account;
pub mod checked_clock;
pub mod clock;
pub mod context;
pub mod controller;
pub mod definition_check;
pub mod definitions;
pub mod health_server;
pub mod leader;
pub mod operator;
pub mod permission_check;
pub mod rbac;
pub mod settings;
pub mod shutdown;
pub mod telemetry;

pub use operator::{StartError, run_operator};
