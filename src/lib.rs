//! The nuvo operator: a `PipelineRun` object is one run of a nuvo data pipeline.
//!
//! Start reading at [`run`], where every decision is made.

pub mod api;
pub mod controller;
pub mod nuvo;
pub mod run;
