//! Runs one plan: a namespace, a simulator, a proxy in front of each server, and operators as processes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use controlplane::{Process, Proxy};
use kube::api::DeleteParams;
use nuvo_sim::{Effect as SimEffect, Fault as SimFault, FaultId, Operation as SimOperation};

use super::environment::Environment;
use super::evidence::Evidence;
use super::fault::{Effect, Fault};
use super::fault_injector::{FaultInjector, InjectedFault, ProxyId};
use super::numbered_request::NumberedRequest;
use super::operator_flags::{OperatorFlags, ProtocolTimes};
use super::test_cluster::{Failure, TestCluster};
use super::workload::{Incident, PIPELINE, Workload};
use crate::stop::Stop;

/// The longest wait that nuvo or the operator may ask for in a plan is a minute.
const ENDS_WITHIN: Duration = Duration::from_secs(120);
/// The same beside a tenant who attacks: a lock that it has taken is free again after the POST deadline, fence, settle time and quarantine, nine
/// seconds together, and it may come first several times.
const ENDS_BESIDE_TENANT_WITHIN: Duration = Duration::from_secs(60);
/// A plan is over after this time without a request.
const QUIET: Duration = Duration::from_secs(2);
/// The runs of a tenant may go on. After this time, the operator has looked into those that claim to be in doubt.
const TENANT_LOOKED_INTO: Duration = Duration::from_secs(5);
/// The requests must cease within this time after the last end.
const QUIET_WITHIN: Duration = Duration::from_secs(30);
/// One fault explains at most so many failed starts of an operator.
const FAILED_STARTS_LIMIT: usize = 2;
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// One operator, and the proxy between it and the API server.
struct Operator {
    proxy: Proxy,
    kubeconfig: PathBuf,
    log: PathBuf,
    process: Process,
    /// The number of requests in the proxy's journal when it was started last.
    since: usize,
}

/// The progress of the fault.
#[derive(Clone, Copy)]
enum Progress {
    /// Not injected yet.
    Awaited,
    /// Injected; its effect follows as soon as the request is held, or answered.
    InjectedFault(InjectedFault),
    /// At this time the request is released, and the operator resumes.
    Until(Instant, InjectedFault),
    /// Done.
    Over,
}

/// Runs one plan.
struct PlanRunner<'a> {
    // First: the operators must end before what they use.
    operators: Vec<Operator>,
    environment: Environment<'a>,
    injector: Arc<FaultInjector>,
    progress: Progress,
    incident: Option<(Incident, FaultId)>,
    complaints: Vec<String>,
    /// How often an operator exited before its first watch.
    failed_starts: usize,
    began: Instant,
}

/// Runs a workload, with one fault or with none, and returns the evidence.
pub fn run(cluster: &TestCluster, workload: Workload, fault: Option<(NumberedRequest, Fault)>, stop: &Stop) -> Result<Evidence, Failure> {
    let mut runner = PlanRunner::set(cluster, workload, fault)?;
    runner.until_over(stop)?;
    runner.close()
}

impl<'a> PlanRunner<'a> {
    fn set(cluster: &'a TestCluster, workload: Workload, fault: Option<(NumberedRequest, Fault)>) -> Result<Self, Failure> {
        let began = Instant::now();
        let mut environment = Environment::prepare(cluster, &workload.to_string(), vec![workload.pipeline()])?;
        if workload.has_tenant() {
            environment.admit_tenant()?;
        }
        let hang = || SimFault::on(SimOperation::Create, SimEffect::HANG_BEFORE_EXECUTING).once();
        let incident = workload.incident().map(|incident| (incident, environment.sim.add_fault(hang())));
        for name in workload.runs() {
            environment.create_run(name, PIPELINE)?;
        }
        let injector = FaultInjector::new(fault, environment.list_text()?);
        injector.attach(&environment.nuvo, ProxyId::Nuvo);
        let (operators, complaints) = (Vec::new(), Vec::new());
        let mut runner =
            Self { operators, environment, injector, progress: Progress::Awaited, incident, complaints, failed_starts: 0, began };
        for number in 0..workload.operators() {
            let operator = runner.start(number)?;
            runner.operators.push(operator);
        }
        Ok(runner)
    }

    fn start(&self, number: usize) -> Result<Operator, Failure> {
        let Environment { cluster, namespace, .. } = &self.environment;
        let proxy = Proxy::start(&cluster.server)?;
        self.injector.attach(&proxy, ProxyId::Kubernetes(number));
        let kubeconfig = proxy.kubeconfig(&cluster.kubeconfig)?;
        let log = cluster.server.folder().join(format!("{namespace}-operator-{number}.log"));
        let process = self.environment.spawn(&kubeconfig, &log, &flags(number))?;
        Ok(Operator { proxy, kubeconfig, log, process, since: 0 })
    }

    /// Runs until every run has ended, the fault is over, and no more requests come.
    fn until_over(&mut self, stop: &Stop) -> Result<(), Failure> {
        let (quiet, limit) =
            if self.environment.tenant.is_some() { (TENANT_LOOKED_INTO, ENDS_BESIDE_TENANT_WITHIN) } else { (QUIET, ENDS_WITHIN) };
        let mut requests = 0;
        let mut quiet_since = Instant::now();
        let mut ended_at = None;
        while self.complaints.is_empty() {
            stop.sleep(CHECK_EVERY)?;
            self.advance_fault()?;
            self.cause_incident()?;
            self.restart_operators()?;
            let so_far = self.injector.count();
            let is_busy = so_far != requests && self.environment.tenant.is_none();
            if is_busy || self.is_going_on() {
                (requests, quiet_since) = (so_far, Instant::now());
            }
            let unended = self.environment.unended()?;
            if !unended.is_empty() {
                (quiet_since, ended_at) = (Instant::now(), None);
                if self.began.elapsed() > limit {
                    self.complaints.push(format!("not ended within {} s: {}", limit.as_secs(), unended.join(", ")));
                }
            } else if quiet_since.elapsed() >= quiet {
                break;
            } else if ended_at.get_or_insert_with(Instant::now).elapsed() > QUIET_WITHIN {
                self.complaints.push(format!("still not idle {} s after the end", QUIET_WITHIN.as_secs()));
            }
        }
        Ok(())
    }

    /// Whether the fault is in progress, or an operator has no watch yet.
    fn is_going_on(&self) -> bool {
        matches!(self.progress, Progress::InjectedFault(_) | Progress::Until(..)) || !self.operators.iter().all(Operator::watches)
    }

    /// Restarts an operator that exited while it started, as the kubelet does. One that has started must not exit.
    fn restart_operators(&mut self) -> Result<(), Failure> {
        let ended: Vec<(usize, String, bool)> = self
            .operators
            .iter_mut()
            .enumerate()
            .filter_map(|(number, operator)| Some((number, operator.process.exited()?.to_string(), operator.watches())))
            .collect();
        for (number, status, had_begun) in ended {
            if had_begun || self.failed_starts >= FAILED_STARTS_LIMIT {
                self.complaints.push(format!("an operator exited: {status}"));
            } else {
                self.failed_starts = self.failed_starts.saturating_add(1);
                self.restart(number)?;
            }
        }
        Ok(())
    }

    fn advance_fault(&mut self) -> Result<(), Failure> {
        self.progress = match self.progress {
            Progress::Awaited => self.injector.injected().map_or(Progress::Awaited, Progress::InjectedFault),
            Progress::InjectedFault(injected) => self.apply_effect(injected)?,
            Progress::Until(when, _) if Instant::now() < when => self.progress,
            Progress::Until(_, injected) => {
                if let (Effect::Pause(_), Some(operator)) = (injected.effect, self.operators.get_mut(operator_behind(injected.proxy))) {
                    operator.process.resume()?;
                }
                self.proxy(injected.proxy)?.release(injected.seq);
                Progress::Over
            }
            Progress::Over => Progress::Over,
        };
        Ok(())
    }

    /// Applies the effect outside the proxy, once the request is where it should be.
    fn apply_effect(&mut self, injected: InjectedFault) -> Result<Progress, Failure> {
        let exchange = self.proxy(injected.proxy)?.journal().into_iter().nth(injected.seq);
        let (held, answered) = exchange.map_or((false, false), |exchange| (exchange.held, exchange.client_status.is_some()));
        Ok(match injected.effect {
            Effect::None => Progress::Over,
            Effect::Release(time) if held => Progress::Until(later(time), injected),
            Effect::Kill if held => {
                self.restart(operator_behind(injected.proxy))?;
                Progress::Over
            }
            Effect::Attack(attack) if held => {
                self.environment.attack(attack)?;
                self.proxy(injected.proxy)?.release(injected.seq);
                Progress::Over
            }
            Effect::AttackAndKill(attack) if held => {
                self.environment.attack(attack)?;
                self.restart(operator_behind(injected.proxy))?;
                Progress::Over
            }
            Effect::Pause(time) if held => {
                if let Some(operator) = self.operators.get_mut(operator_behind(injected.proxy)) {
                    operator.process.pause()?;
                }
                Progress::Until(later(time), injected)
            }
            Effect::CutWatches if answered => {
                self.operators.iter().for_each(|operator| operator.proxy.cut_watches());
                Progress::Over
            }
            Effect::Release(_) | Effect::Kill | Effect::Attack(_) | Effect::AttackAndKill(_) | Effect::Pause(_) | Effect::CutWatches => {
                Progress::InjectedFault(injected)
            }
        })
    }

    fn proxy(&self, proxy: ProxyId) -> Result<&Proxy, Failure> {
        match proxy {
            ProxyId::Nuvo => Ok(&self.environment.nuvo),
            ProxyId::Kubernetes(number) => {
                self.operators.get(number).map(|operator| &operator.proxy).ok_or_else(|| "no such operator".into())
            }
        }
    }

    /// Kills an operator and starts it again.
    fn restart(&mut self, number: usize) -> Result<(), Failure> {
        let Some(operator) = self.operators.get_mut(number) else { return Ok(()) };
        operator.process.kill();
        operator.since = operator.proxy.journal().len();
        operator.process = self.environment.spawn(&operator.kubeconfig, &operator.log, &flags(number))?;
        Ok(())
    }

    fn cause_incident(&mut self) -> Result<(), Failure> {
        let Some((incident, at)) = self.incident else { return Ok(()) };
        if self.environment.sim.fault_count(at) == 0 {
            return Ok(());
        }
        match incident {
            Incident::Delete => {
                self.environment.cluster.block_on(self.environment.runs().delete("first", &DeleteParams::default()))?;
                self.environment.create_run("second", PIPELINE)?;
            }
            Incident::Rotate => self.environment.rotate()?,
            Incident::Expire => self.environment.sim.revoke_tokens(),
        }
        self.environment.sim.release(at);
        self.incident = None;
        Ok(())
    }

    fn close(mut self) -> Result<Evidence, Failure> {
        let shutdown_complaints = self.environment.stop(self.operators.iter_mut().map(|operator| &mut operator.process))?;
        self.complaints.extend(shutdown_complaints);
        Ok(Evidence {
            injected: self.injector.injected().is_some(),
            incident_over: self.incident.is_none(),
            sequence: self.injector.sequence(),
            complaints: std::mem::take(&mut self.complaints),
            logs: self.operators.iter().map(|operator| operator.process.log()).collect(),
            took: self.began.elapsed(),
            ..self.environment.evidence(self.operators.iter().map(|operator| &operator.proxy))?
        })
    }
}

impl Operator {
    /// Whether it has begun to watch since its last start.
    fn watches(&self) -> bool {
        self.proxy.journal().iter().skip(self.since).any(|exchange| exchange.request.is_watch())
    }
}

/// The second operator has another clock than the first.
fn flags(number: usize) -> OperatorFlags {
    OperatorFlags { times: ProtocolTimes::COMPRESSED, leader_elect: false, clock_ahead: number > 0 }
}

/// The operator behind a proxy. The simulator's proxy does not know the operator: the first is assumed.
fn operator_behind(proxy: ProxyId) -> usize {
    match proxy {
        ProxyId::Kubernetes(number) => number,
        ProxyId::Nuvo => 0,
    }
}

fn later(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now)
}
