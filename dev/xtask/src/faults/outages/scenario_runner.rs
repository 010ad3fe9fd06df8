//! Plays one scenario: creates its runs, lets the outage happen, and counts what came of it.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ListParams;
use nuvo_crds::NuvoAccount;

use super::super::environment::Environment;
use super::super::evidence::Evidence;
use super::super::operator_flags::{OperatorFlags, ProtocolTimes};
use super::super::test_cluster::{Failure, TestCluster};
use super::super::{oracle, print};
use super::gateway::{BACKENDS, Gateway, State};
use super::observed_runs::{Ends, ObservedRuns};
use super::replicas::Replica;
use super::scenario::{Outage, Scenario};
use crate::stop::Stop;

const CHECK_EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const PROGRESS_EVERY: Duration = Duration::from_secs(30);
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A scenario is over when all runs have ended and stay so for this time.
const QUIET: Duration = Duration::from_secs(3);
/// Besides the times of the protocol, everything must end within this time after the outage: a backlog of ten runs one after the other, and
/// the kubelet's longest pause.
const ENDS_WITHIN: Duration = Duration::from_secs(400);

/// What the table shows of one scenario.
pub struct Counts {
    pub posts: usize,
    pub executions: usize,
    pub ended: usize,
    pub unstarted: usize,
    pub asked: usize,
    pub pages: usize,
    pub longest_unconfirmed: Duration,
    pub all_go_on: Option<Duration>,
    pub most_at_once: usize,
    pub restarts: u32,
    /// What must not be.
    pub broken: Vec<String>,
}

struct ScenarioRunner<'a> {
    // First: the operators must end before what they use.
    replicas: Vec<Replica>,
    environment: Environment<'a>,
    scenario: &'a Scenario,
    gateway: Arc<Gateway>,
    runs: ObservedRuns,
    began: Instant,
    times: ProtocolTimes,
    /// How many of the runs have been created.
    created: usize,
    /// Whether the leader has been killed.
    killed: bool,
    /// Since when all runs have ended or been followed, after the outage.
    all_go_on: Option<Duration>,
    broken: Vec<String>,
}

/// Plays a scenario.
pub fn run(cluster: &TestCluster, scenario: &Scenario, scale: u32, stop: &Stop) -> Result<Counts, Failure> {
    let mut runner = ScenarioRunner::start(cluster, scenario, scale, stop)?;
    runner.until_over(stop)?;
    runner.close(scale)
}

impl<'a> ScenarioRunner<'a> {
    fn start(cluster: &'a TestCluster, scenario: &'a Scenario, scale: u32, stop: &Stop) -> Result<Self, Failure> {
        let environment = Environment::prepare(cluster, scenario.name, scenario.pipelines())?;
        let times = ProtocolTimes::DEFAULT.scaled(scale);
        let flags = OperatorFlags { times, leader_elect: true, clock_ahead: false };
        let gateway = Gateway::before(&environment.nuvo);
        let first = Replica::start(&environment, 0, flags)?;
        let mut runner = Self {
            replicas: vec![first],
            environment,
            scenario,
            gateway,
            runs: ObservedRuns::default(),
            began: Instant::now(),
            times,
            created: 0,
            killed: false,
            all_go_on: None,
            broken: Vec::new(),
        };
        // The others stand by: the first leads before they begin.
        runner.wait("the first operator leads", stop, Self::has_leader)?;
        for number in 1..scenario.replicas {
            let standby = Replica::start(&runner.environment, number, flags)?;
            runner.replicas.push(standby);
        }
        runner.wait("the account is ready", stop, Self::has_account)?;
        runner.began = Instant::now();
        Ok(runner)
    }

    fn wait(&self, what: &str, stop: &Stop, holds: impl Fn(&Self) -> Result<bool, Failure>) -> Result<(), Failure> {
        let began = Instant::now();
        while !holds(self)? {
            if began.elapsed() > READY_WITHIN {
                return Err(format!("not within {} s: {what}\n{}", READY_WITHIN.as_secs(), self.logs()).into());
            }
            stop.sleep(CHECK_EVERY)?;
        }
        Ok(())
    }

    fn has_leader(&self) -> Result<bool, Failure> {
        let Environment { cluster, namespace, .. } = &self.environment;
        let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), namespace);
        let leases = cluster.block_on(leases.list(&ListParams::default()))?;
        Ok(leases.into_iter().any(|lease| {
            let name = lease.metadata.name.unwrap_or_default();
            let holder = lease.spec.and_then(|spec| spec.holder_identity);
            name.starts_with("nuvo-operator-leader") && holder.is_some_and(|holder| !holder.is_empty())
        }))
    }

    fn has_account(&self) -> Result<bool, Failure> {
        let Environment { cluster, namespace, .. } = &self.environment;
        let accounts: Api<NuvoAccount> = Api::namespaced(cluster.client.clone(), namespace);
        let account = cluster.block_on(accounts.get("default"))?;
        let conditions = account.status.into_iter().flat_map(|status| status.conditions);
        Ok(conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
    }

    fn until_over(&mut self, stop: &Stop) -> Result<(), Failure> {
        let Self { times, scenario, .. } = *self;
        let ProtocolTimes { trigger_timeout, fence, settle, confirm: _, quarantine } = times;
        let waits = [trigger_timeout, fence, settle, quarantine].into_iter().fold(ENDS_WITHIN, |sum, time| sum.saturating_add(time));
        let limit = scenario.ends().saturating_add(waits);
        let (mut looked, mut reported, mut ended_since) = (None, Duration::ZERO, None);
        loop {
            stop.sleep(CHECK_EVERY)?;
            let now = self.began.elapsed();
            self.create_due_runs(now)?;
            self.advance_outage(now);
            let environment = &self.environment;
            self.replicas.iter_mut().try_for_each(|replica| replica.keep_running(environment))?;
            if looked.is_some_and(|at: Duration| now < at.saturating_add(LOOK_EVERY)) {
                continue;
            }
            looked = Some(now);
            self.look(now)?;
            let [count, ended] = self.runs.ended();
            if now >= reported.saturating_add(PROGRESS_EVERY) {
                reported = now;
                print(&format!("{}: {} s, {ended} of {} runs have ended", scenario.name, now.as_secs(), scenario.runs.len()));
            }
            if count < scenario.runs.len() || ended < count || now < scenario.ends() {
                ended_since = None;
            } else if ended_since.get_or_insert(now).saturating_add(QUIET) <= now {
                return Ok(());
            }
            if now > limit {
                self.broken.push(format!("not ended within {} s: {}", limit.as_secs(), self.runs.unended().join(", ")));
                return Ok(());
            }
        }
    }

    fn create_due_runs(&mut self, now: Duration) -> Result<(), Failure> {
        for run in self.scenario.runs.iter().skip(self.created).take_while(|run| run.at <= now) {
            let mut spec = self.scenario.spec.clone();
            if let Some(fields) = spec.as_object_mut() {
                fields.insert("pipelineId".to_owned(), run.pipeline.clone().into());
            }
            self.environment.create_run_with(&run.name, &spec)?;
            self.created = self.created.saturating_add(1);
        }
        Ok(())
    }

    /// Lets happen what is due.
    fn advance_outage(&mut self, now: Duration) {
        let since = now.checked_sub(self.scenario.begins);
        let is_on = since.is_some() && now < self.scenario.ends();
        match self.scenario.outage {
            Outage::GatewayRestart => {
                let state = since.filter(|_| is_on).and_then(|since| self.restarting(since)).map_or(State::Up, State::Restarting);
                self.set_gateway(state);
            }
            Outage::Maintenance => self.set_gateway(if is_on { State::Maintenance } else { State::Up }),
            Outage::ApiServerAway if is_on => self.replicas.iter().for_each(|replica| replica.proxy.go_away()),
            Outage::ApiServerAway => self.replicas.iter().for_each(|replica| replica.proxy.come_back()),
            Outage::LeaderKilled if since.is_some() && !self.killed => {
                self.killed = true;
                // The one that was started first.
                self.replicas.iter_mut().take(1).for_each(|replica| replica.process.kill());
            }
            Outage::LeaderKilled => {}
        }
    }

    /// The backend that is away: each for three quarters of its share of the time.
    fn restarting(&self, since: Duration) -> Option<usize> {
        let share = self.scenario.lasts.checked_div(u32::try_from(BACKENDS).ok()?)?;
        let backend = since.as_millis().checked_div(share.as_millis())?;
        let within = since.as_millis().checked_rem(share.as_millis())?;
        let is_away = within.saturating_mul(4) < share.as_millis().saturating_mul(3);
        usize::try_from(backend).ok().filter(|_| is_away)
    }

    /// Whatever goes down takes its connections with it.
    fn set_gateway(&self, state: State) {
        if self.gateway.set(state) && state != State::Up {
            self.environment.nuvo.cut_connections();
        }
    }

    fn look(&mut self, now: Duration) -> Result<(), Failure> {
        let runs = self.environment.cluster.block_on(self.environment.runs().list(&ListParams::default()))?;
        self.runs.note(&runs.items, now);
        // A status that says Running proves nothing about who follows it: after the outage, something must have been read from nuvo.
        let end = self.began.checked_add(self.scenario.ends()).unwrap_or(self.began);
        let is_followed = !self.runs.any_is_running() || self.gateway.last_read().is_some_and(|read| read > end);
        if now < self.scenario.ends() || !self.runs.all_go_on() || !is_followed {
            self.all_go_on = None;
        } else if self.all_go_on.is_none() {
            self.all_go_on = Some(now.saturating_sub(self.scenario.ends()));
        }
        Ok(())
    }

    fn logs(&self) -> String {
        self.replicas.iter().map(|replica| replica.process.log()).collect()
    }

    fn close(mut self, scale: u32) -> Result<Counts, Failure> {
        // One that has ended waits for its restart.
        let running = self
            .replicas
            .iter_mut()
            .map(|replica| &mut replica.process)
            .filter_map(|process| process.exited().is_none().then_some(process));
        let complaints = self.environment.stop(running)?;
        self.broken.extend(complaints);
        if self.logs().contains("panicked") {
            self.broken.push("an operator panicked".to_owned());
        }
        let evidence = self.environment.evidence(self.replicas.iter().map(|replica| &replica.proxy))?;
        self.broken.extend(oracle::invariant_violations(&evidence, 1));
        let in_vain = oracle::doubted_in_vain(&evidence);
        if in_vain > 0 {
            self.broken.push(format!("P3: {in_vain} runs ask a person though nuvo's list shows what they started"));
        }
        let Ends { ended, unstarted, asked, pages, longest_unconfirmed } = self.runs.ends(scale);
        Ok(Counts {
            posts: evidence.deliveries.len(),
            executions: evidence.executions.len(),
            ended,
            unstarted,
            asked,
            pages,
            longest_unconfirmed,
            all_go_on: self.all_go_on,
            most_at_once: self.most_at_once(&evidence),
            restarts: self.replicas.iter().map(|replica| replica.restarts).sum(),
            broken: self.broken,
        })
    }

    /// The most executions of one pipeline that ran at the same time.
    fn most_at_once(&self, evidence: &Evidence) -> usize {
        let journal = self.environment.sim.journal();
        let arrived: BTreeMap<u64, i64> = journal.iter().map(|request| (request.number, request.at_ms)).collect();
        let length = i64::try_from(self.scenario.execution.as_millis()).unwrap_or(i64::MAX);
        let mut begun: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for execution in self.environment.sim.executions().into_iter().filter(|execution| evidence.executions.contains_key(&execution.id)) {
            if let Some(at) = execution.request.and_then(|number| arrived.get(&number)) {
                begun.entry(execution.pipeline).or_default().push(*at);
            }
        }
        let running = |all: &[i64], at: i64| all.iter().filter(|other| (**other..other.saturating_add(length)).contains(&at)).count();
        begun.values().flat_map(|all| all.iter().map(|at| running(all, *at)).chain(iter::once(0))).max().unwrap_or_default()
    }
}
