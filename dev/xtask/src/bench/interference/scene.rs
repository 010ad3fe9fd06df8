//! One situation: an operator, the runs that are measured, and others that cause trouble.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nuvo_crds::PipelineRun;
use nuvo_sim::Sim;

use super::ACCOUNT;
use crate::bench::environment::{Environment, Operator};
use crate::bench::markdown_table::time;
use crate::bench::nuvo_requests::{self, RequestCounts};
use crate::bench::percentiles::Percentiles;
use crate::bench::run_factory;
use crate::bench::run_times::RunTimes;
use crate::bench::run_watch::RunWatch;
use crate::bench::{Failure, log_progress};
use crate::stop::Stop;

/// An end must be shown, and a run of another account triggered, within this time.
const LIMIT: Duration = Duration::from_secs(15);
const CHECK_EVERY: Duration = Duration::from_millis(50);
const READY_WITHIN: Duration = Duration::from_secs(60);
const TRIGGERED_WITHIN: Duration = Duration::from_secs(60);
/// From the creation of the runs. What is not over then is shown as a lower bound.
const MEASURED_FOR: Duration = Duration::from_secs(105);

/// What was measured in one situation.
pub struct Row {
    pub situation: String,
    pub runs: usize,
    /// From the end in nuvo to its arrival through a watch: p50, p99, max.
    pub lag: [String; 3],
    /// From the creation to the trigger: p50, max. Absent if the trouble began later.
    pub triggers: Option<[String; 2]>,
    /// To the server of the runs that are measured.
    pub requests: RequestCounts,
    pub trouble: String,
    pub broken: Vec<String>,
}

/// A situation.
pub struct Scene<'a> {
    // First: what uses the environment ends before it.
    operator: Operator,
    watch: RunWatch,
    environment: Environment,
    /// Requests per second of all accounts together.
    budget: u32,
    /// The runs that are measured, and when the API server answered the creation of each.
    created: BTreeMap<String, Instant>,
    began: Instant,
    /// Whether the trouble may delay triggers: it was there when the runs were created.
    triggers_count: bool,
    broken: Vec<String>,
    stop: &'a Stop,
}

impl<'a> Scene<'a> {
    /// Starts the operator, and waits until it can use so many accounts.
    pub fn open(environment: Environment, accounts: u16, stop: &'a Stop) -> Result<Self, Failure> {
        let mut operator = environment.start_operator(stop)?;
        operator.wait("the accounts are ready", READY_WITHIN, CHECK_EVERY, stop, |operator| operator.has_accounts(accounts.into()))?;
        let watch = RunWatch::begin(&environment, stop)?;
        environment.sim.clear_journal();
        Ok(Self {
            operator,
            watch,
            environment,
            budget: ACCOUNT.requests_per_second.saturating_mul(accounts.into()),
            created: BTreeMap::new(),
            began: Instant::now(),
            triggers_count: true,
            broken: Vec::new(),
            stop,
        })
    }

    /// The server of the runs that are measured.
    pub fn sim(&self) -> &Sim {
        &self.environment.sim
    }

    /// Creates the runs that are measured.
    pub fn create(&mut self, runs: &[PipelineRun]) -> Result<(), Failure> {
        self.began = Instant::now();
        self.created = run_factory::create_at_once(&self.environment, runs, self.stop)?;
        Ok(())
    }

    /// Creates other runs. Returns when the API server answered each.
    pub fn create_others(&self, runs: &[PipelineRun]) -> Result<BTreeMap<String, Instant>, Failure> {
        let created = run_factory::create_at_once(&self.environment, runs, self.stop)?;
        log_progress(&format!("{} s: the trouble begins", self.began.elapsed().as_secs()));
        Ok(created)
    }

    /// How many of these runs have ended.
    pub fn ended(&self, runs: &BTreeMap<String, Instant>) -> usize {
        self.watch.ended(runs)
    }

    /// Waits until a condition holds.
    pub fn wait(&mut self, what: &str, holds: impl Fn(&RunWatch) -> bool) -> Result<(), Failure> {
        let Self { operator, watch, stop, .. } = self;
        operator.wait(what, TRIGGERED_WITHIN, CHECK_EVERY, stop, |_| Ok(holds(watch)))?;
        Ok(())
    }

    /// Waits until all runs that are measured show an execution. The trouble that follows must meet all of them.
    pub fn wait_for_triggers(&mut self) -> Result<(), Failure> {
        let created = self.created.clone();
        self.wait("all runs are triggered", |watch| watch.triggered(&created) >= created.len())?;
        self.triggers_count = false;
        let ended = self.ended(&created);
        if ended > 0 {
            self.broken.push(format!("{ended} runs had ended before the trouble began"));
        }
        Ok(())
    }

    /// Waits until all runs that are measured have ended, or the time is up.
    pub fn wait_for_ends(&mut self) -> Result<(), Failure> {
        let until = self.began.checked_add(MEASURED_FOR).unwrap_or(self.began);
        self.watch.wait_for_ends(&self.created, until, &mut self.operator, self.stop)?;
        Ok(())
    }

    /// Stops the operator. Returns what was measured.
    pub fn end(self, situation: String, trouble: String) -> Result<Row, Failure> {
        let Self { operator, watch, environment, budget, created, began: _, triggers_count, mut broken, stop: _ } = self;
        let journal = environment.sim.journal();
        let times = RunTimes::gather(&environment, &created, &watch.seen()?, &journal)?;
        operator.stop()?;
        let (lag, to_trigger) = (Delays::of(times.lags, times.unseen), Delays::of(times.triggers, times.untriggered));
        broken.extend(times.broken);
        broken.extend(nuvo_requests::over_budget(&journal, budget));
        broken.extend(lag.exceeded("an end is shown"));
        if triggers_count {
            broken.extend(to_trigger.exceeded("a run is triggered"));
        }
        let [to_trigger, _, last_trigger] = to_trigger.shown();
        Ok(Row {
            situation,
            runs: created.len(),
            lag: lag.shown(),
            triggers: triggers_count.then_some([to_trigger, last_trigger]),
            requests: RequestCounts::of(&journal),
            trouble,
            broken,
        })
    }
}

/// How late something happened, or has not happened yet.
struct Delays {
    percentiles: Percentiles,
    /// Whether there are any.
    measured: bool,
    /// The shortest delay that was not over when it was measured.
    unfinished: Option<Duration>,
}

impl Delays {
    fn of(over: Vec<Duration>, unfinished: Vec<Duration>) -> Self {
        let measured = !over.is_empty() || !unfinished.is_empty();
        Self { measured, unfinished: unfinished.iter().min().copied(), percentiles: Percentiles::of(over.into_iter().chain(unfinished)) }
    }

    /// p50, p99, max.
    fn shown(&self) -> [String; 3] {
        let Percentiles { p50, p99, max } = self.percentiles;
        [p50, p99, max].map(|delay| match self.unfinished {
            _ if !self.measured => "-".to_owned(),
            Some(unfinished) if unfinished <= delay => format!("> {}", time(delay)),
            _ => time(delay),
        })
    }

    fn exceeded(&self, what: &str) -> Option<String> {
        let [_, _, max] = self.shown();
        (self.percentiles.max > LIMIT).then(|| format!("{what} after {max}, which is more than {}", time(LIMIT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_that_is_not_over_is_shown_as_a_lower_bound() {
        let seconds = |seconds: &[u64]| seconds.iter().copied().map(Duration::from_secs).collect();
        let delays = Delays::of(seconds(&[1, 2, 3]), seconds(&[16]));
        assert_eq!(delays.shown(), ["2.0 s", "> 16.0 s", "> 16.0 s"]);
        assert!(delays.exceeded("it").is_some_and(|text| text.contains("> 16.0 s")), "{:?}", delays.exceeded("it"));
        let delays = Delays::of(seconds(&[1, 2, 3]), Vec::new());
        assert_eq!(Delays::of(Vec::new(), Vec::new()).shown(), ["-"; 3]);
        assert_eq!((delays.shown(), delays.exceeded("it")), (["2.0 s", "3.0 s", "3.0 s"].map(str::to_owned), None));
    }
}
