//! What the operator does for one account: the driver of its scheduler, its session with nuvo, and the circuit breaker of its server.

mod circuit_breaker;
pub mod driver;
mod logins;
mod requests;
mod session;

pub use circuit_breaker::{CircuitBreaker, CircuitBreakers};
pub use driver::AccountDriver;
pub use logins::Logins;
pub use requests::Requests;
pub use session::{Rejected, Session, SessionSettings, short_hash};
