//! When the requests of an account go out: its budget, its pauses, the circuit breaker of its server, which runs may be triggered, and the
//! executions that nuvo is asked about.
//!
//! Nothing here reads a clock: the time is handed in, as the time since some moment before.

mod account;
mod breaker;
mod budget;
mod doubts;
mod executions;
mod observation;
mod pace;
mod pauses;
mod pipeline_modes;
mod places;
mod posts;
mod purpose;
mod reads;
mod shared_look;
mod tracked;
mod turns;

pub use account::{AccountScheduler, Credentials, Next, Running, Work};
pub use breaker::{Availability, CircuitBreaker, RequestKind};
pub use budget::Ticket;
pub use doubts::{Doubts, ListedExecutions};
pub use executions::{Executions, Followed, Look};
pub use observation::{
    MOST_OBSERVED, Observable, Observation, ObservationAnswer, ObservationRead, ObservedPage, PageRequest, PageScope, PipelineRef,
};
pub use pauses::Pause;
pub use pipeline_modes::PipelineMode;
pub use places::{Places, most_places};
pub use purpose::Purpose;
pub use reads::{Key, Read, ReadAnswer};
pub use turns::Shown;

#[cfg(test)]
mod tests;
