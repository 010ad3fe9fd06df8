//! The Execution API of nuvo: a typed client for one account.
//!
//! Tolerant in form, strict in meaning: both editions and all spellings of an answer are understood, but only an answer that
//! says exactly what is needed changes anything. A POST is sent once, and what is known afterwards is a value of
//! [`nuvo_core::run::Outcome`]. No redirect is followed, nothing is retried behind the caller's back except one renewal of the token
//! after a 401, and a credential goes to the origin of its [`BaseUrl`] only.

mod client;
mod credential;
pub mod decode;
mod error;
mod list;
mod node;
mod origins;
pub mod outcome;
mod pause;
mod settings;
mod text;
mod token;
mod transport;

pub use client::{Admit, Client};
pub use credential::{Credential, CredentialError, IdentityType};
pub use decode::{Execution, ExecutionError, Identity, Log, LogKind, Pipeline, Stats, Status, When};
pub use error::Error;
pub use list::{Collector, ListQuery, Listing, Next, Order, Page};
pub use origins::{BaseUrl, OriginError, Origins};
pub use pause::{PAUSE, Pause, PauseReason};
pub use settings::{Code, Connections, Observer, Operation, Settings};
pub use text::Redactor;
