//! What is done about a `NuvoAccount`: its Secret is read, nuvo verifies the credentials, and the result is published to its runs and
//! written into its status.
//!
//! One reconcile is a loop around [`next`]: it looks at the [`AccountFacts`] and returns one [`AccountAct`]; the shell carries the act out
//! and adds what it learned to the facts, until the act is [`AccountAct::Done`]. The credentials themselves are opaque to this module: the
//! type parameters `C` (a credential) and `S` (a session whose credentials nuvo has accepted) are only handed through.

mod facts;
mod finding;
mod next;
mod status;
mod tls;

#[cfg(test)]
mod tests;

pub use facts::{AccountFacts, Publication, SecretRead, SecretValue, TlsRead, Verification};
pub use next::{AccountAct, Availability, next};
pub use tls::{TlsSource, tls_sources};
