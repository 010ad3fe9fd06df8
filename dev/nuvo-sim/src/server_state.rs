//! The state of the server, behind one lock that is never held across an await.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::{Condvar, Mutex, MutexGuard};
use serde_json::Value;

use crate::{
    clock::Clock,
    config::{AccessToken, Credential, Identity, Permission, SimConfig},
    duration::{Millis, millis},
    error::SimError,
    execution::{Change, Execution, Seed, Stored},
    fault::{FaultId, Faults},
    pipeline::Pipeline,
    request_journal::RequestJournal,
};

/// The state, and a signal for tests that wait for a fault.
pub(crate) struct SharedState {
    state: Mutex<ServerState>,
    /// Notified whenever a request reaches the point where a fault takes effect.
    pub(crate) reached: Condvar,
    /// The path in front of the API: empty, or with a slash at the front and none at the end.
    pub(crate) base_path: String,
}

impl SharedState {
    pub(crate) fn new(config: SimConfig) -> Result<Self, SimError> {
        let base_path = match config.base_path.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        };
        Ok(Self { state: Mutex::new(ServerState::new(config)?), reached: Condvar::new(), base_path })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock()
    }

    /// Counts a request that reached the point where this fault takes effect.
    pub(crate) fn reach(&self, fault: FaultId) {
        self.lock().faults.reach(fault);
        self.reached.notify_all();
    }
}

/// Everything that changes.
pub(crate) struct ServerState {
    pub(crate) clock: Clock,
    pub(crate) config: SimConfig,
    pub(crate) pipelines: BTreeMap<String, Pipeline>,
    /// In the order they were made.
    pub(crate) executions: Vec<Stored>,
    pub(crate) journal: RequestJournal,
    pub(crate) faults: Faults,
    /// POSTs to `/execution/` by the pipeline they name.
    pub(crate) counts: BTreeMap<String, PostCounts>,
    tokens: BTreeMap<String, TokenGrant>,
    /// Makes ids and tokens unique.
    serial: u32,
}

/// How many POSTs to `/execution/` there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PostCounts {
    pub(crate) arrived: u64,
    pub(crate) executed: u64,
}

/// What a token stands for.
#[derive(Debug, Clone)]
pub(crate) struct TokenGrant {
    pub(crate) identity: Identity,
    permissions: BTreeSet<Permission>,
    expires: Millis,
}

impl TokenGrant {
    pub(crate) fn allows(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }
}

impl From<AccessToken> for TokenGrant {
    fn from(AccessToken { token: _, identity, permissions }: AccessToken) -> Self {
        Self { identity, permissions, expires: Millis::MAX }
    }
}

impl ServerState {
    fn new(config: SimConfig) -> Result<Self, SimError> {
        let mut state = Self {
            clock: Clock::start(config.clock_skew_ms),
            pipelines: BTreeMap::new(),
            executions: Vec::new(),
            journal: RequestJournal::default(),
            faults: Faults::default(),
            counts: BTreeMap::new(),
            tokens: config.access_tokens.iter().map(|token| (token.token.clone(), token.clone().into())).collect(),
            serial: 0,
            config,
        };
        for pipeline in state.config.pipelines.clone() {
            state.set_pipeline(pipeline)?;
        }
        Ok(state)
    }

    pub(crate) fn set_pipeline(&mut self, pipeline: Pipeline) -> Result<(), SimError> {
        pipeline.check()?;
        self.pipelines.insert(pipeline.id.clone(), pipeline);
        Ok(())
    }

    /// 24 hexadecimal digits, unique across runs of the simulator.
    fn new_id(&mut self) -> String {
        self.serial = self.serial.saturating_add(1);
        format!("{:016x}{:08x}", self.clock.origin(), self.serial)
    }

    /// Trades a license key for a token.
    pub(crate) fn trade(&mut self, license_key: &str, identity: &Identity) -> Option<String> {
        let Credential { permissions, .. } = self
            .config
            .credentials
            .iter()
            .find(|credential| credential.license_key == license_key && credential.identity == *identity)?
            .clone();
        let life = self.config.token_life.map_or(Millis::MAX, millis);
        let grant = TokenGrant { identity: identity.clone(), permissions, expires: self.clock.now().saturating_add(life) };
        let token = format!("sim-token-{}", self.new_id());
        self.tokens.insert(token.clone(), grant);
        Some(token)
    }

    /// What `token` stands for, if it is still accepted.
    pub(crate) fn grant(&self, token: &str) -> Option<&TokenGrant> {
        self.tokens.get(token).filter(|grant| self.clock.now() < grant.expires)
    }

    pub(crate) fn revoke_token(&mut self, token: &str) -> bool {
        self.tokens.remove(token).is_some()
    }

    pub(crate) fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    pub(crate) fn set_access_tokens(&mut self, tokens: Vec<AccessToken>) {
        for old in std::mem::take(&mut self.config.access_tokens) {
            self.tokens.remove(&old.token);
        }
        self.tokens.extend(tokens.iter().map(|token| (token.token.clone(), token.clone().into())));
        self.config.access_tokens = tokens;
    }

    /// Carries out a POST: makes an execution for each file, and returns the answer's entries.
    pub(crate) fn create(&mut self, pipeline: &Pipeline, creator: &Identity, request: u64) -> Vec<Value> {
        let now = self.clock.now();
        let listed = now.saturating_add(millis(self.config.list_lag));
        let mut shown = Vec::new();
        for file in 0..usize::try_from(pipeline.files).unwrap_or(usize::MAX) {
            let id = self.new_id();
            let execution = Stored::started(id, pipeline, file, creator.clone(), request, now, listed);
            shown.push(execution.show_created());
            self.executions.push(execution);
        }
        let counts = self.counts.entry(pipeline.id.clone()).or_default();
        counts.executed = counts.executed.saturating_add(1);
        self.journal.change(request, |request| request.executed = true);
        shown
    }

    pub(crate) fn seed(&mut self, seed: Seed) -> Result<String, SimError> {
        let id = match &seed.id {
            Some(id) if self.find(id).is_some() => return Err(SimError::DuplicateExecution(id.clone())),
            Some(id) => id.clone(),
            None => self.new_id(),
        };
        let execution = Stored::seeded(id.clone(), seed, self.clock.now());
        self.executions.push(execution);
        Ok(id)
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Stored> {
        self.executions.iter().find(|execution| execution.id == id)
    }

    pub(crate) fn change(&mut self, id: &str, change: Change) -> Result<Execution, SimError> {
        let now = self.clock.now();
        let execution =
            self.executions.iter_mut().find(|execution| execution.id == id).ok_or_else(|| SimError::NoSuchExecution(id.to_owned()))?;
        execution.change(change, now);
        Ok(execution.snapshot(&self.clock, now))
    }

    pub(crate) fn remove_execution(&mut self, id: &str) -> Result<(), SimError> {
        let before = self.executions.len();
        self.executions.retain(|execution| execution.id != id);
        if self.executions.len() == before { Err(SimError::NoSuchExecution(id.to_owned())) } else { Ok(()) }
    }

    pub(crate) fn snapshots(&self) -> Vec<Execution> {
        let now = self.clock.now();
        self.executions.iter().map(|execution| execution.snapshot(&self.clock, now)).collect()
    }
}
