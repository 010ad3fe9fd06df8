//! When the requests of an account go out: its budget, its pauses, the circuit breaker of its server, which runs may be triggered, and the
//! executions that nuvo is asked about.
//!
//! Nothing here reads a clock: the time is handed in, as the time since some moment before.

mod breaker;
mod budget;
mod executions;
mod pace;
mod pauses;
mod pipeline_modes;
mod places;
mod purpose;
mod reads;
mod shared_look;
mod tracked;

pub use breaker::{Availability, CircuitBreaker, RequestKind};
pub use budget::{Budget, Ticket};
pub use executions::{Executions, Followed, Look, Next, Pace};
pub use pauses::{Pause, Pauses};
pub use places::{Places, most_places};
pub use purpose::Purpose;
pub use reads::{Key, Read, ReadAnswer};
pub use shared_look::{SharedLook, USABLE_FOR, Wanted};

#[cfg(test)]
mod tests;
