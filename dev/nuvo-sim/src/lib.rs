//! A simulator of nuvo's Execution API on loopback, for tests, the demo, and users who try the operator.
//!
//! It serves the documented API over HTTP, progresses executions by the clock or by hand, injects the faults it is given, and keeps a
//! journal of every request, so that a test can count how often a pipeline was really started.
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

mod admin_api;
mod clock;
mod config;
mod duration;
mod error;
mod execution;
mod execution_api;
mod execution_list;
mod fault;
mod identity;
mod pipeline;
mod request_journal;
mod server;
mod server_state;
mod starts;

pub use config::{AccessToken, Credential, ListOrder, Permission, SimConfig, Total};
pub use duration::HumanDuration;
pub use error::SimError;
pub use execution::{Change, Execution, Seed, Status};
pub use fault::{Effect, Fault, FaultId, FaultReport, Operation};
pub use identity::{Identity, IdentityKind};
pub use pipeline::{
    BUILTIN_PIPELINES, Delays, Ending, ExecutionError, Outcomes, Pipeline, Spelling, Stats, parse_pipelines, read_pipelines,
};
pub use request_journal::{RecordedRequest, RecordedResponse};
pub use server::Sim;
pub use starts::{InputTrigger, Schedule, Starts, Trigger};
