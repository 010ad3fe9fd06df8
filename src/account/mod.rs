//! One account at work: what it may send now, the looks that triggers rest on, and the executions that it follows.

mod circuit_breaker;
pub mod poller;
mod rate_limit;
mod session;

pub use circuit_breaker::{CircuitBreaker, CircuitBreakers};
pub use rate_limit::{Priority, RateLimiter};
pub use session::{Rejected, Session, SessionSettings, short_hash};
