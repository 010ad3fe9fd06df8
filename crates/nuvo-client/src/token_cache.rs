//! The token of an account: made once for all callers, renewed when nuvo no longer accepts it for one of them.

use http::HeaderValue;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

use super::credential::checked;
use super::error::Error;

/// A token, with a number that distinguishes it from earlier ones.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) generation: u64,
    pub(crate) secret: SecretString,
    pub(crate) header: HeaderValue,
}

impl Token {
    pub(crate) fn new(generation: u64, secret: &SecretString) -> Result<Self, Error> {
        let malformed = |_| Error::Malformed { reason: "the access token cannot be sent in a header" };
        let secret = checked(secret, "access token").map_err(malformed)?;
        let text = SecretString::from(format!("Bearer {}", secret.expose_secret()));
        let mut header = HeaderValue::from_str(text.expose_secret())
            .map_err(|_| Error::Malformed { reason: "the access token cannot be sent in a header" })?;
        header.set_sensitive(true);
        Ok(Self { generation, secret, header })
    }
}

#[derive(Default)]
struct State {
    current: Option<Token>,
    generation: u64,
    /// How many fetches have ended, and how the last one failed.
    flights: u64,
    failure: Option<Error>,
}

/// Single flight: a caller that waited while another one's request was out takes its result, good or bad.
#[derive(Default)]
pub(crate) struct TokenCache {
    state: Mutex<State>,
    flight: tokio::sync::Mutex<()>,
}

impl TokenCache {
    /// A token other than the one of generation `stale`; `fetch` is called by at most one caller at a time.
    pub(crate) async fn get<F>(&self, stale: Option<u64>, fetch: F) -> Result<Token, Error>
    where
        F: Future<Output = Result<SecretString, Error>>,
    {
        let usable = |state: &State| state.current.clone().filter(|t| Some(t.generation) != stale);
        let seen = {
            let state = self.state.lock();
            if let Some(token) = usable(&state) {
                return Ok(token);
            }
            state.flights
        };
        let _flight = self.flight.lock().await;
        {
            let mut state = self.state.lock();
            if let Some(token) = usable(&state) {
                return Ok(token);
            }
            if state.flights != seen
                && let Some(failure) = &state.failure
            {
                return Err(failure.clone());
            }
            state.current = None;
        }
        let fetched = fetch.await;
        let mut state = self.state.lock();
        state.flights = state.flights.wrapping_add(1);
        let generation = state.generation.wrapping_add(1);
        match fetched.and_then(|secret| Token::new(generation, &secret)) {
            Ok(token) => {
                state.generation = generation;
                state.failure = None;
                state.current = Some(token.clone());
                Ok(token)
            }
            Err(error) => {
                state.failure = Some(error.clone());
                Err(error)
            }
        }
    }
}
