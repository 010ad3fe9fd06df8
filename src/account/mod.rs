//! What the operator does for one account: its rate limit, its circuit breaker, its session with nuvo, and the poller of its executions.

mod circuit_breaker;
mod logins;
pub mod poller;
mod rate_limit;
mod session;

pub use circuit_breaker::{CircuitBreaker, CircuitBreakers};
pub use logins::Logins;
pub use rate_limit::RateLimiter;
pub use session::{Rejected, Session, SessionSettings, short_hash};
