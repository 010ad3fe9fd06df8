//! The nuvo operator: a `PipelineRun` object is one run of a nuvo data pipeline.
//!
//! Start reading at [`run`], where every decision is made.

pub mod access;
pub mod api;
pub mod config;
pub mod controller;
pub mod follower;
pub mod http;
pub mod leader;
pub mod nuvo;
pub mod operator;
pub mod plugin;
pub mod rbac;
pub mod run;
pub mod shutdown;
pub mod telemetry;

pub use operator::{StartError, run_operator};
