//! The Execution API of nuvo: a typed client for one account.
//!
//! Tolerant in form, strict in meaning: both editions and all spellings of an answer are understood, but only an answer that
//! says exactly what is needed changes anything. A POST is sent once, and what is known afterwards is a value of
//! [`nuvo_core::run::PostOutcome`]. No redirect is followed, nothing is retried except for one renewal of the token
//! after a 401, and a credential goes to the origin of its [`BaseUrl`] only.

mod client;
mod client_settings;
mod connections;
mod credential;
pub mod decode;
mod error;
mod exchange;
mod execution;
mod listing;
mod origins;
mod redact;
mod token_cache;
mod transport;
pub mod trigger_outcome;
mod trust;
mod unreachable;

pub use client::{Admit, Client};
pub use client_settings::{AdmitLogin, Code, Observer, Operation, PAUSE, Settings};
pub use connections::{AccountTls, Connections};
pub use credential::{Credential, CredentialError, IdentityType};
pub use error::Error;
pub use exchange::{CredentialsVerdict, Exchange, Usage};
pub use execution::{Execution, ExecutionError, Identity, Log, LogKind, NuvoTime, Pipeline, RawPage, Stats};
pub use listing::{Collector, ListQuery, Listing, Next, Order, Page};
pub use nuvo_core::{scheduler::Pause, vocabulary::ExecutionStatus};
pub use origins::{BaseUrl, OriginError, Origins};
pub use redact::Redactor;
pub use trust::{check_authorities, check_authority_file, check_client_certificate};
pub use unreachable::Unreachable;
