//! The client of one account.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::client_settings::{Operation, PAUSE, Settings};
use super::connections::ConnectionSetup;
use super::credential::Credential;
use super::decode;
use super::error::Error;
use super::exchange::{CredentialsVerdict, Exchange, Usage};
use super::execution::{Execution, Pipeline};
use super::listing::{Collector, ListQuery, Listing, Next, Page};
use super::origins::BaseUrl;
use super::redact::Redactor;
use super::token_cache::{Token, TokenCache};
use super::transport::{self, Asked, Failure, MAX_ANSWER, MAX_PAGE, Reply};
use super::trigger_outcome;
use super::unreachable::Unreachable;
use nuvo_core::run::{ExecutionId, Nonce, PipelineId, PostOutcome};

const REQUEST_ID: &str = "x-request-id";

/// Waits until one more page may be requested, or refuses it.
pub type Admit<'a> = &'a (dyn Fn(usize) -> BoxFuture<'a, Result<(), Error>> + Send + Sync);

/// The client of one account. Shared by reference: the token cache is inside.
pub struct Client {
    base: BaseUrl,
    credential: Credential,
    settings: Settings,
    reads: reqwest::Client,
    triggers: reqwest::Client,
    trigger_connect: Duration,
    tokens: TokenCache,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).field("credential", &self.credential).finish_non_exhaustive()
    }
}

impl Client {
    /// Builds the client; nothing is sent. The process must have installed a TLS provider.
    ///
    /// # Errors
    /// [`Error::Setup`] when the credential is unusable, or TLS cannot be set up.
    pub fn new(base: BaseUrl, credential: Credential, settings: Settings) -> Result<Self, Error> {
        let credential = credential.validated().map_err(|_| Error::Setup { reason: "the credential is not usable" })?;
        // A connection that cannot be made must fail as such, well before the deadline: only then is it certain that nothing was sent.
        let quarter = settings.trigger_timeout.checked_div(4).unwrap_or_default();
        let trigger_connect = settings.connect_timeout.min(quarter);
        let reads = ConnectionSetup { connect_timeout: settings.connect_timeout, reuse: true, use_env_proxy: settings.use_env_proxy };
        // A connection of its own for each trigger: a failure to connect then proves that nothing was sent.
        let triggers = ConnectionSetup { connect_timeout: trigger_connect, reuse: false, ..reads };
        Ok(Self {
            reads: settings.connections.client(reads, &settings.tls)?,
            triggers: settings.connections.client(triggers, &settings.tls)?,
            trigger_connect,
            base,
            credential,
            settings,
            tokens: TokenCache::default(),
        })
    }

    /// The base URL of the account.
    #[must_use]
    pub const fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// Starts the pipeline: exactly one POST, and a second one only after a 401, which says that the first was not carried out.
    /// The whole call ends within `Settings::trigger_timeout`.
    pub async fn create(&self, pipeline: &PipelineId, nonce: &Nonce) -> Exchange<PostOutcome> {
        let mut usage = Usage::default();
        let outcome = self.create_once(pipeline, nonce, &mut usage).await;
        usage.with(outcome)
    }

    async fn create_once(&self, pipeline: &PipelineId, nonce: &Nonce, usage: &mut Usage) -> PostOutcome {
        let now = Instant::now();
        let deadline = now.checked_add(self.settings.trigger_timeout).unwrap_or(now);
        // The last moment at which a connection can still fail in time as such.
        let latest = deadline.checked_sub(self.trigger_connect).unwrap_or(now);
        let Ok(request_id) = HeaderValue::from_str(nonce.as_str()) else {
            return trigger_outcome::not_sent("the nonce cannot be sent");
        };
        let mut stale = None;
        loop {
            let token = match timeout_at(latest, self.token(stale, usage)).await {
                Ok(Ok(token)) => token,
                Ok(Err(Error::Unauthorized)) => return trigger_outcome::credentials_rejected(),
                Ok(Err(error)) => return trigger_outcome::no_token(&error),
                Err(_) => return trigger_outcome::not_sent("there was no access token in time"),
            };
            if Instant::now() > latest {
                return trigger_outcome::not_sent("too little time was left");
            }
            let request = self
                .triggers
                .post(self.base.join(["execution", ""]))
                .header(REQUEST_ID, request_id.clone())
                .header(http::header::AUTHORIZATION, token.header.clone())
                .json(&json!({ "pipeline_id": pipeline.as_str() }));
            let mut reply = match self.send(request, Operation::Create, deadline, MAX_ANSWER).await {
                Ok(reply) => reply,
                Err(Failure::Connect(Unreachable::ClientCertificate)) => return trigger_outcome::certificate_refused(),
                Err(failure @ Failure::Connect(_)) => return trigger_outcome::not_sent(&Error::from(failure).to_string()),
                Err(Failure::Timeout) => return trigger_outcome::unknown("nuvo did not answer the trigger in time".to_owned()),
                Err(Failure::Broken) => {
                    return trigger_outcome::unknown("the connection broke before nuvo answered the trigger".to_owned());
                }
            };
            if self.renew_after(&reply, stale.is_none(), usage) {
                stale = Some(token.generation);
                continue;
            }
            if reply.status == 503 {
                usage.pause = Some(decode::retry_after(&reply.headers).unwrap_or(PAUSE));
            }
            let body = reply.body.as_deref().map_err(|fault| *fault);
            let outcome = trigger_outcome::classify(reply.status, &reply.headers, body, pipeline, &self.redactor(&token));
            if body.is_ok() && matches!(outcome, PostOutcome::ExecutedIdsUnknown { .. }) {
                reply.is_malformed();
            }
            return outcome;
        }
    }

    /// Reads one execution.
    ///
    /// # Errors
    /// [`Error::NotFound`] for 404 and 400; [`Error::Malformed`] also when the answer is about another execution.
    pub async fn read(&self, id: &ExecutionId) -> Exchange<Result<Execution, Error>> {
        let mut usage = Usage::default();
        let got = self.get(self.base.join(["execution", id.as_str()]), Operation::Read, MAX_ANSWER, &mut usage).await;
        usage.with(got.and_then(|(mut reply, redactor)| reply.understood(Asked::One, |body| decode::one(body, id, &redactor))))
    }

    /// Reads a pipeline.
    ///
    /// # Errors
    /// As for [`Client::read`]; [`Error::NotFound`] only if nuvo itself says it.
    pub async fn pipeline(&self, id: &PipelineId) -> Exchange<Result<Pipeline, Error>> {
        let mut usage = Usage::default();
        let got = self.get(self.base.join(["pipeline", id.as_str()]), Operation::Pipeline, MAX_ANSWER, &mut usage).await;
        usage.with(got.and_then(|(mut reply, redactor)| {
            let (status, is_of_nuvo) = (reply.status, reply.body.as_deref().is_ok_and(decode::is_of_nuvo));
            match reply.understood(Asked::One, |body| decode::pipeline(body, id, &redactor)) {
                // A gateway in front of nuvo knows nothing of pipelines.
                Err(Error::NotFound) if !is_of_nuvo => Err(Error::Rejected { status }),
                result => result,
            }
        }))
    }

    /// Reads one page of executions.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn list_page(&self, query: &ListQuery, offset: usize) -> Exchange<Result<Page, Error>> {
        let mut usage = Usage::default();
        let page = self.page(query, offset, &mut usage).await;
        usage.with(page)
    }

    async fn page(&self, query: &ListQuery, offset: usize, usage: &mut Usage) -> Result<Page, Error> {
        let mut url = self.base.join(["execution", ""]);
        url.query_pairs_mut().extend_pairs(query.parameters(offset));
        let (mut reply, redactor) = self.get(url, Operation::List, MAX_PAGE, usage).await?;
        let raw = reply.understood(Asked::List, |body| decode::page(body, &redactor))?;
        if raw.unreadable > 0 {
            reply.is_malformed();
        }
        Ok(query.filter(raw, offset))
    }

    /// Reads executions over at most `pages` pages. `admit` is asked before each of them, counted from 0: each is a request.
    ///
    /// # Errors
    /// Any [`Error`] of any page: a list of which a page failed is no list.
    pub async fn list(&self, query: &ListQuery, pages: usize, admit: Admit<'_>) -> Exchange<Result<Listing, Error>> {
        let mut usage = Usage::default();
        let listing = self.pages(query, pages, admit, &mut usage).await;
        usage.with(listing)
    }

    async fn pages(&self, query: &ListQuery, pages: usize, admit: Admit<'_>, usage: &mut Usage) -> Result<Listing, Error> {
        let mut collector = Collector::new(query);
        let mut offset = 0;
        for page in 0..pages {
            admit(page).await?;
            match collector.add(self.page(query, offset, usage).await?) {
                Next::At(next) => offset = next,
                Next::Done => break,
            }
        }
        Ok(collector.finish())
    }

    /// Verifies the credentials: gets a token, if one is needed, and lists one execution.
    ///
    /// # Errors
    /// Why they are not accepted, or why there was no answer.
    pub async fn verify_credentials(&self) -> Exchange<Result<(), Error>> {
        let mut usage = Usage::default();
        let page = self.page(&ListQuery { limit: 1, ..ListQuery::default() }, 0, &mut usage).await;
        usage.with(page.map(|_| ()))
    }

    /// An authorised GET, repeated once with a new token after a 401.
    async fn get(&self, url: Url, operation: Operation, cap: usize, usage: &mut Usage) -> Result<(Reply, Redactor), Error> {
        let mut stale = None;
        loop {
            let token = self.token(stale, usage).await?;
            let request = self
                .reads
                .get(url.clone())
                .header(REQUEST_ID, uuid::Uuid::new_v4().to_string())
                .header(http::header::ACCEPT, "application/json")
                .header(http::header::AUTHORIZATION, token.header.clone());
            let reply = self.send(request, operation, self.read_deadline(), cap).await?;
            // Reading pipelines needs a permission of its own, so a refusal proves nothing about the credentials.
            if operation != Operation::Pipeline && self.renew_after(&reply, stale.is_none(), usage) {
                stale = Some(token.generation);
                continue;
            }
            return Ok((reply, self.redactor(&token)));
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder, operation: Operation, deadline: Instant, cap: usize) -> Result<Reply, Failure> {
        transport::send(request, operation, deadline, cap, self.settings.observer.as_ref()).await
    }

    fn read_deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.settings.request_timeout).unwrap_or(now)
    }

    /// Records what an authorised request shows about the credentials. Returns whether to renew the token and repeat the request.
    fn renew_after(&self, reply: &Reply, first: bool, usage: &mut Usage) -> bool {
        match reply.status {
            401 if first && self.renewable() => {
                usage.add_request();
                return true;
            }
            401 => usage.credentials = Some(CredentialsVerdict::Rejected),
            200..=299 | 403 | 404 => usage.credentials = Some(CredentialsVerdict::Accepted),
            _ => {}
        }
        false
    }

    const fn renewable(&self) -> bool {
        matches!(self.credential, Credential::LicenseKey { .. })
    }

    /// Removes the account's secrets from answers.
    fn redactor(&self, token: &Token) -> Redactor {
        let key = match &self.credential {
            Credential::LicenseKey { key, .. } => Some(key.clone()),
            Credential::AccessToken(_) => None,
        };
        Redactor::new(key.into_iter().chain([token.secret.clone()]))
    }

    /// A token other than the one of generation `stale`.
    async fn token(&self, stale: Option<u64>, usage: &mut Usage) -> Result<Token, Error> {
        let token = match &self.credential {
            Credential::AccessToken(token) => Token::new(0, token),
            Credential::LicenseKey { .. } => self.tokens.get(stale, self.fetch_token(usage)).await,
        };
        if matches!(token, Err(Error::Unauthorized)) {
            usage.credentials = Some(CredentialsVerdict::Rejected);
        }
        token
    }

    async fn fetch_token(&self, usage: &mut Usage) -> Result<SecretString, Error> {
        let Credential::LicenseKey { key, identifier, identity_type, token_path } = &self.credential else {
            return Err(Error::Unauthorized);
        };
        let body = json!({
            "license_key": key.expose_secret(),
            "auth": { "identifier": identifier, "type": identity_type.as_str() },
        });
        let request = self
            .reads
            .post(self.base.join(token_path.split('/')))
            .header(REQUEST_ID, uuid::Uuid::new_v4().to_string())
            .header(http::header::ACCEPT, "application/json")
            .json(&body);
        if let Some(admit) = &self.settings.admit_login {
            tokio::time::sleep(admit()).await;
        }
        usage.add_request();
        let mut reply = self.send(request, Operation::Token, self.read_deadline(), MAX_ANSWER).await?;
        if matches!(reply.status, 400 | 401 | 403 | 422) {
            // The request holds only the credentials, so these must be wrong.
            return Err(Error::Unauthorized);
        }
        reply.understood(Asked::Token, decode::access_token).map(SecretString::from)
    }
}
