//! How often the operator asks a server for access tokens: a limit that all accounts of the server share, whatever their number. Logins that
//! fail look like an attack, and all of them come from one address.

use std::{collections::HashMap, sync::Arc};

use futures::FutureExt;
use nuvo_client::AdmitLogin;
use nuvo_core::scheduler::Purpose;
use parking_lot::Mutex;

use super::RateLimiter;

/// Logins per second at one server.
const LOGINS_PER_SECOND: u32 = 20;

/// The limits of all servers, by their origins. There are no more than the operator may send credentials to.
#[derive(Debug, Default)]
pub struct Logins(Mutex<HashMap<String, RateLimiter>>);

impl Logins {
    /// What a client of this origin waits for before it logs in.
    #[must_use]
    pub fn admit(&self, origin: &str) -> AdmitLogin {
        let limiter = self.0.lock().entry(origin.to_owned()).or_insert_with(|| RateLimiter::new(LOGINS_PER_SECOND)).clone();
        Arc::new(move || {
            let limiter = limiter.clone();
            async move {
                // Logins do not pause.
                let _admitted = limiter.take(Purpose::Ending).await;
            }
            .boxed()
        })
    }
}
