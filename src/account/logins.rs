//! How often the operator asks a server for access tokens: a limit that all accounts of the server share, whatever their number. Logins that
//! fail look like an attack, and all of them come from one address.

use std::{collections::HashMap, sync::Arc, time::Duration};

use nuvo_client::AdmitLogin;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The time between two logins at one server.
const EVERY: Duration = Duration::from_millis(50);
/// The time in which logins that were not made can be made up for.
const BURST: Duration = Duration::from_millis(900);

/// The times of the next logins at all servers, by their origins. There are no more than the operator may send credentials to.
#[derive(Debug, Default)]
pub struct Logins(Mutex<HashMap<String, Arc<Mutex<Option<Instant>>>>>);

impl Logins {
    /// What a client of this origin asks how long it waits before it logs in.
    #[must_use]
    pub fn admit(&self, origin: &str) -> AdmitLogin {
        let next = self.0.lock().entry(origin.to_owned()).or_default().clone();
        Arc::new(move || reserve(&mut next.lock(), Instant::now()))
    }
}

/// Takes the next login, and says in how long it may be made.
fn reserve(next: &mut Option<Instant>, now: Instant) -> Duration {
    let earliest = now.checked_sub(BURST).unwrap_or(now);
    let at = next.map_or(earliest, |next| next.max(earliest));
    *next = at.checked_add(EVERY);
    at.saturating_duration_since(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_after_the_burst_keep_the_rate() {
        let (mut next, now) = (None, Instant::now());
        let now = now.checked_add(Duration::from_secs(10)).unwrap();
        let waits: Vec<Duration> = (0..38).map(|_| reserve(&mut next, now)).collect();
        assert_eq!(waits.iter().filter(|wait| wait.is_zero()).count(), 19);
        assert_eq!(waits.last(), Some(&Duration::from_millis(950)));
    }
}
