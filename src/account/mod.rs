//! What the operator does for one account: the driver of its scheduler, its session with nuvo, and what accounts share: places,
//! logins and circuit breakers.

mod account_key;
mod circuit_breaker;
pub mod driver;
mod logins;
mod places;
mod requests;
mod session;

pub use account_key::AccountKey;
pub use circuit_breaker::{CircuitBreaker, CircuitBreakers};
pub use driver::AccountDriver;
pub use logins::Logins;
pub use places::{Age, Place, QueueKey, TriggerQueue, age};
pub use requests::{Requests, Turn};
pub use session::{Announcements, Session, SessionSettings, short_hash};
