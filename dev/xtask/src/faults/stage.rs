//! Where one plan is played: a namespace, a simulator, a proxy before each server, and operators as processes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use controlplane::{Process, Proxy};
use kube::api::DeleteParams;
use nuvo_sim::{Effect as SimEffect, Fault as SimFault, FaultId, Operation as Asked};

use super::director::{Director, Struck, Way};
use super::evidence::Evidence;
use super::fault::{Effect, Fault};
use super::ground::Ground;
use super::lab::{Failure, Lab};
use super::operation::Operation;
use super::workload::{Happening, PIPELINE, Workload};
use crate::stop::Stop;

/// The longest wait that nuvo or the operator may ask for in a plan is a minute.
const ENDS_WITHIN: Duration = Duration::from_secs(120);
/// How long nothing may happen before a play counts as over.
const QUIET: Duration = Duration::from_secs(2);
/// How long it may take until nothing happens any more.
const QUIET_WITHIN: Duration = Duration::from_secs(30);
/// One fault is no reason for more.
const FALSE_STARTS: usize = 2;
const LOOK: Duration = Duration::from_millis(100);

/// One operator, and its way to the API server.
struct Operator {
    way: Proxy,
    kubeconfig: PathBuf,
    log: PathBuf,
    process: Process,
    /// The requests on its way when it was started last.
    since: usize,
}

/// How far the fault has come.
#[derive(Clone, Copy)]
enum Progress {
    /// It has not struck.
    Awaited,
    /// It has, and something is to be done as soon as the request is held, or answered.
    Struck(Struck),
    /// The request is let go then, and the operator goes on.
    Until(Instant, Struck),
    /// Nothing more is to be done.
    Over,
}

/// Where one plan is played.
struct Stage<'a> {
    // The operators end first.
    operators: Vec<Operator>,
    ground: Ground<'a>,
    director: Arc<Director>,
    progress: Progress,
    happening: Option<(Happening, FaultId)>,
    complaints: Vec<String>,
    /// How often an operator has ended before it had begun.
    false_starts: usize,
    began: Instant,
}

/// Plays a workload, with one fault or with none, and says what is left.
pub fn play(lab: &Lab, workload: Workload, fault: Option<(Operation, Fault)>, stop: &Stop) -> Result<Evidence, Failure> {
    let mut stage = Stage::set(lab, workload, fault)?;
    stage.until_over(stop)?;
    stage.close()
}

impl<'a> Stage<'a> {
    fn set(lab: &'a Lab, workload: Workload, fault: Option<(Operation, Fault)>) -> Result<Self, Failure> {
        let began = Instant::now();
        let ground = Ground::prepare(lab, &workload.to_string(), vec![workload.pipeline()])?;
        let hang = || SimFault::on(Asked::Create, SimEffect::HANG_BEFORE_EXECUTING).once();
        let happening = workload.happening().map(|happening| (happening, ground.sim.add_fault(hang())));
        for name in workload.runs() {
            ground.create_run(name, PIPELINE)?;
        }
        let director = Director::new(fault, ground.list_text()?);
        director.direct(&ground.nuvo, Way::Nuvo);
        let (operators, complaints) = (Vec::new(), Vec::new());
        let mut stage = Self { operators, ground, director, progress: Progress::Awaited, happening, complaints, false_starts: 0, began };
        for number in 0..workload.operators() {
            let operator = stage.start(number)?;
            stage.operators.push(operator);
        }
        Ok(stage)
    }

    fn start(&self, number: usize) -> Result<Operator, Failure> {
        let Ground { lab, namespace, .. } = &self.ground;
        let way = Proxy::start(&lab.server)?;
        self.director.direct(&way, Way::Kubernetes(number));
        let kubeconfig = way.kubeconfig(&lab.kubeconfig)?;
        let log = lab.server.folder().join(format!("{namespace}-operator-{number}.log"));
        let process = self.ground.spawn(&kubeconfig, &log, number > 0)?;
        Ok(Operator { way, kubeconfig, log, process, since: 0 })
    }

    /// Goes on until every run has ended, nothing is left to go wrong, and nothing happens any more.
    fn until_over(&mut self, stop: &Stop) -> Result<(), Failure> {
        let mut requests = 0;
        let mut quiet_since = Instant::now();
        let mut ended_at = None;
        while self.complaints.is_empty() {
            stop.sleep(LOOK)?;
            self.see_to_the_fault()?;
            self.see_to_the_happening()?;
            self.look_after_operators()?;
            let so_far = self.director.count();
            if so_far != requests || self.is_going_on() {
                (requests, quiet_since) = (so_far, Instant::now());
            }
            let unended = self.ground.unended()?;
            if !unended.is_empty() {
                ended_at = None;
                if self.began.elapsed() > ENDS_WITHIN {
                    self.complaints.push(format!("not ended within {} s: {}", ENDS_WITHIN.as_secs(), unended.join(", ")));
                }
            } else if quiet_since.elapsed() >= QUIET {
                break;
            } else if ended_at.get_or_insert_with(Instant::now).elapsed() > QUIET_WITHIN {
                self.complaints.push(format!("still not at rest {} s after the end", QUIET_WITHIN.as_secs()));
            }
        }
        Ok(())
    }

    /// Whether the fault is not over, or an operator has not begun.
    fn is_going_on(&self) -> bool {
        matches!(self.progress, Progress::Struck(_) | Progress::Until(..)) || !self.operators.iter().all(Operator::watches)
    }

    /// An operator that cannot begin ends with an error, and is started again, as the kubelet does it. One that has begun must not end.
    fn look_after_operators(&mut self) -> Result<(), Failure> {
        let ended: Vec<(usize, String, bool)> = self
            .operators
            .iter_mut()
            .enumerate()
            .filter_map(|(number, operator)| Some((number, operator.process.exited()?.to_string(), operator.watches())))
            .collect();
        for (number, status, had_begun) in ended {
            if had_begun || self.false_starts >= FALSE_STARTS {
                self.complaints.push(format!("an operator has ended by itself: {status}"));
            } else {
                self.false_starts = self.false_starts.saturating_add(1);
                self.restart(number)?;
            }
        }
        Ok(())
    }

    fn see_to_the_fault(&mut self) -> Result<(), Failure> {
        self.progress = match self.progress {
            Progress::Awaited => self.director.struck().map_or(Progress::Awaited, Progress::Struck),
            Progress::Struck(struck) => self.besides(struck)?,
            Progress::Until(when, _) if Instant::now() < when => self.progress,
            Progress::Until(_, struck) => {
                if let (Effect::Pause(_), Some(operator)) = (struck.effect, self.operators.get_mut(whose(struck.way))) {
                    operator.process.resume()?;
                }
                self.way(struck.way)?.release(struck.seq);
                Progress::Over
            }
            Progress::Over => Progress::Over,
        };
        Ok(())
    }

    /// What is done besides, once the request is where it should be.
    fn besides(&mut self, struck: Struck) -> Result<Progress, Failure> {
        let exchange = self.way(struck.way)?.journal().into_iter().nth(struck.seq);
        let (held, answered) = exchange.map_or((false, false), |exchange| (exchange.held, exchange.client_status.is_some()));
        Ok(match struck.effect {
            Effect::None => Progress::Over,
            Effect::Release(time) if held => Progress::Until(later(time), struck),
            Effect::Kill if held => {
                self.restart(whose(struck.way))?;
                Progress::Over
            }
            Effect::Pause(time) if held => {
                if let Some(operator) = self.operators.get_mut(whose(struck.way)) {
                    operator.process.pause()?;
                }
                Progress::Until(later(time), struck)
            }
            Effect::CutWatches if answered => {
                self.operators.iter().for_each(|operator| operator.way.cut_watches());
                Progress::Over
            }
            Effect::Release(_) | Effect::Kill | Effect::Pause(_) | Effect::CutWatches => Progress::Struck(struck),
        })
    }

    fn way(&self, way: Way) -> Result<&Proxy, Failure> {
        match way {
            Way::Nuvo => Ok(&self.ground.nuvo),
            Way::Kubernetes(number) => {
                self.operators.get(number).map(|operator| &operator.way).ok_or_else(|| "there is no such operator".into())
            }
        }
    }

    /// Kills an operator, and starts another in its place.
    fn restart(&mut self, number: usize) -> Result<(), Failure> {
        let Some(operator) = self.operators.get_mut(number) else { return Ok(()) };
        operator.process.kill();
        operator.since = operator.way.journal().len();
        operator.process = self.ground.spawn(&operator.kubeconfig, &operator.log, number > 0)?;
        Ok(())
    }

    fn see_to_the_happening(&mut self) -> Result<(), Failure> {
        let Some((happening, at)) = self.happening else { return Ok(()) };
        if self.ground.sim.fault_count(at) == 0 {
            return Ok(());
        }
        match happening {
            Happening::Delete => {
                self.ground.lab.block_on(self.ground.runs().delete("first", &DeleteParams::default()))?;
                self.ground.create_run("second", PIPELINE)?;
            }
            Happening::Rotate => self.ground.rotate()?,
            Happening::Expire => self.ground.sim.revoke_tokens(),
        }
        self.ground.sim.release(at);
        self.happening = None;
        Ok(())
    }

    fn close(mut self) -> Result<Evidence, Failure> {
        let unwell = self.ground.stop(self.operators.iter_mut().map(|operator| &mut operator.process))?;
        self.complaints.extend(unwell);
        Ok(Evidence {
            struck: self.director.struck().is_some(),
            happened: self.happening.is_none(),
            sequence: self.director.sequence(),
            complaints: std::mem::take(&mut self.complaints),
            logs: self.operators.iter().map(|operator| operator.process.log()).collect(),
            took: self.began.elapsed(),
            ..self.ground.evidence(self.operators.iter().map(|operator| &operator.way))?
        })
    }
}

impl Operator {
    /// Whether it has begun to watch since it was started last.
    fn watches(&self) -> bool {
        self.way.journal().iter().skip(self.since).any(|exchange| exchange.request.is_watch())
    }
}

/// The operator that a plan is about. Who has asked the simulator cannot be told: it is taken for the first.
fn whose(way: Way) -> usize {
    match way {
        Way::Kubernetes(number) => number,
        Way::Nuvo => 0,
    }
}

fn later(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now)
}
