//! One account at work: what it may send now, the looks that triggers rest on, and the executions that it follows.

mod breaker;
mod budget;
pub mod follower;
mod session;

pub use breaker::{Breaker, Breakers};
pub use budget::{Budget, Priority};
pub use session::{Rejected, Session, SessionSettings, short_hash};
