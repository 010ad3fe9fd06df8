//! A stand-in for nuvo's Execution API on loopback, for tests, the demonstration and users who want to try things.
//!
//! It speaks the documented API over HTTP, progresses executions by the clock or by hand, goes wrong where it is told to, and keeps a
//! journal of every request, so that a test can say how often a pipeline was really started.
//!
//! ```no_run
//! use nuvo_sim::{Credential, Effect, Fault, Identity, Operation, Pipeline, Sim, SimConfig};
//! use std::time::Duration;
//!
//! let sim = Sim::start(SimConfig {
//!     pipelines: vec![Pipeline::new("orders").held()],
//!     credentials: vec![Credential::new("key", Identity::user("me@example.com"))],
//!     ..SimConfig::default()
//! })?;
//! let fault = sim.add_fault(Fault::on(Operation::Create, Effect::DROP_AFTER_EXECUTING).once());
//! // … let the program under test work against sim.base_url() …
//! assert!(sim.fault_reached(fault, Duration::from_secs(10)));
//! assert_eq!((sim.post_count(), sim.executed_count()), (1, 1));
//! # Ok::<(), nuvo_sim::SimError>(())
//! ```

mod admin;
mod api;
mod clock;
mod config;
mod error;
mod execution;
mod fault;
mod journal;
mod list;
mod pipeline;
mod server;
mod span;
mod state;

pub use config::{AccessToken, Credential, Identity, IdentityKind, Permission, SimConfig, Total};
pub use error::SimError;
pub use execution::{Change, Execution, Seed, Status, Trigger};
pub use fault::{Effect, Fault, FaultId, FaultReport, Operation};
pub use journal::{Answer, Request};
pub use pipeline::{
    BUILTIN_PIPELINES, Delays, Ending, ExecutionError, Outcomes, Pipeline, Spelling, Stats, parse_pipelines, read_pipelines,
};
pub use server::Sim;
pub use span::Span;
