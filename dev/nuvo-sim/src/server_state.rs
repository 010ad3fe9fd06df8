//! The state of the server, behind one lock that is never held across an await.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use parking_lot::{Condvar, Mutex, MutexGuard};
use serde_json::Value;

use crate::{
    clock::Clock,
    config::{AccessToken, Credential, Permission, SimConfig},
    duration::{Millis, millis},
    error::SimError,
    execution::{Change, Execution, Seed, Start, Stored},
    fault::{FaultId, Faults},
    identity::Identity,
    pipeline::Pipeline,
    request_journal::RequestJournal,
    starts::Trigger,
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

    /// The state as it is now, also with what the server has started by itself since the last look.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ServerState> {
        let mut state = self.state.lock();
        state.start_what_is_due();
        state
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
    /// When the server next starts a pipeline by itself.
    due: BTreeMap<String, Millis>,
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
        let local = TimeZone::posix(&config.local_zone).map_err(|_| SimError::Zone(config.local_zone.clone()))?;
        let mut state = Self {
            clock: Clock::start(config.clock_skew_ms, local),
            pipelines: BTreeMap::new(),
            executions: Vec::new(),
            journal: RequestJournal::default(),
            faults: Faults::default(),
            counts: BTreeMap::new(),
            tokens: config.access_tokens.iter().map(|token| (token.token.clone(), token.clone().into())).collect(),
            due: BTreeMap::new(),
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
        match &pipeline.starts {
            Some(starts) => self.due.insert(pipeline.id.clone(), self.clock.now().saturating_add(millis(starts.every.0))),
            None => self.due.remove(&pipeline.id),
        };
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
        let start = Start { at: self.clock.now(), creator: creator.clone(), trigger: Trigger::Manual, request: Some(request) };
        let started = self.start(pipeline, &start);
        let shown = started.iter().map(Stored::show_created).collect();
        self.executions.extend(started);
        let counts = self.counts.entry(pipeline.id.clone()).or_default();
        counts.executed = counts.executed.saturating_add(1);
        self.journal.change(request, |request| request.executed = true);
        shown
    }

    fn start(&mut self, pipeline: &Pipeline, start: &Start) -> Vec<Stored> {
        let listed = start.at.saturating_add(millis(self.config.list_lag));
        let files = 0..usize::try_from(pipeline.files).unwrap_or(usize::MAX);
        files.map(|file| Stored::started(self.new_id(), pipeline, file, start, listed)).collect()
    }

    /// Starts a pipeline as the server itself does it: by its schedule, or by an event. Returns the ids of the executions.
    pub(crate) fn start_by_itself(&mut self, id: &str, trigger: Trigger, creator: Identity) -> Result<Vec<String>, SimError> {
        let pipeline = self.pipelines.get(id).cloned().ok_or_else(|| SimError::NoSuchPipeline(id.to_owned()))?;
        let started = self.start(&pipeline, &Start { at: self.clock.now(), creator, trigger, request: None });
        let ids = started.iter().map(|execution| execution.id.clone()).collect();
        self.executions.extend(started);
        Ok(ids)
    }

    /// Makes the starts of the server itself whose time has come. One that is switched off or a draft is not started.
    fn start_what_is_due(&mut self) {
        let now = self.clock.now();
        while let Some((id, at)) = self.due.iter().find(|(_, at)| **at <= now).map(|(id, at)| (id.clone(), *at)) {
            let Some((pipeline, starts)) = self.pipelines.get(&id).and_then(|pipeline| Some((pipeline.clone(), pipeline.starts.clone()?)))
            else {
                self.due.remove(&id);
                continue;
            };
            self.due.insert(id, at.saturating_add(millis(starts.every.0)));
            if pipeline.active && !pipeline.draft {
                let started = self.start(&pipeline, &Start { at, creator: starts.creator, trigger: starts.trigger, request: None });
                self.executions.extend(started);
            }
        }
    }

    /// Adds executions of one moment.
    pub(crate) fn seed_many(&mut self, seed: &Seed, count: usize) -> Vec<String> {
        let now = self.clock.now();
        let ids: Vec<String> = (0..count).map(|_| self.new_id()).collect();
        self.executions.extend(ids.iter().map(|id| Stored::seeded(id.clone(), seed.clone(), now)));
        ids
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
