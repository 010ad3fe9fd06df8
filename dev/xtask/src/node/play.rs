//! A play, and the table of all.

use std::time::{Duration, Instant};

use super::Failure;
use super::orchestrators::Orchestrator;
use super::stage::Stage;
use crate::bench::markdown_table::{self, Table};

/// One thing that happens to an installed operator.
#[derive(Clone, Copy)]
pub struct Play {
    /// By which a person chooses it.
    pub name: &'static str,
    /// The first column.
    pub what: &'static str,
    pub needs: Needs,
    /// Fails if what must hold does not.
    pub play: fn(&Stage) -> Result<Outcome, Failure>,
}

/// What is prepared for some plays only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// What is published, with a registry.
    Release,
    /// What enforces NetworkPolicies.
    Firewall,
    /// What tries steps again, with its images.
    Orchestrator(Orchestrator),
    /// An older operator, which a person names.
    Previous,
}

/// What has come of it.
pub struct Outcome {
    /// What took how long.
    pub times: Vec<(&'static str, Duration)>,
    /// How many runs were started, each of which must have one POST.
    pub runs: usize,
    pub seen: String,
}

/// A row.
pub struct Row {
    what: &'static str,
    outcome: Outcome,
    posts: u64,
    executions: u64,
}

/// The table, and what was broken.
pub fn play_all(plays: &[Play], stage: &Stage) -> (String, Vec<String>) {
    let mut rows = Vec::new();
    let mut broken = Vec::new();
    for Play { name, what, play, .. } in plays {
        let began = Instant::now();
        let (posts, executions) = (stage.sim.post_count(), stage.sim.executed_count());
        let outcome = play(stage);
        println!("{name}: {} in {:.0} s", if outcome.is_ok() { "done" } else { "failed" }, began.elapsed().as_secs_f64());
        let posts = stage.sim.post_count().saturating_sub(posts);
        let executions = stage.sim.executed_count().saturating_sub(executions);
        match outcome {
            Err(error) => broken.push(format!("{name}: {error}")),
            Ok(outcome) => {
                if u64::try_from(outcome.runs) != Ok(posts) || posts != executions {
                    broken.push(format!("{name}: {} runs, {posts} POSTs, {executions} executions", outcome.runs));
                }
                rows.push(Row { what, outcome, posts, executions });
            }
        }
    }
    (table(rows), broken)
}

/// The table of these rows.
pub fn table(rows: Vec<Row>) -> String {
    let mut table = Table::new("Plays on a node", ["what happens", "runs", "POSTs", "executions", "how long", "what a person sees"]);
    for Row { what, outcome, posts, executions } in rows {
        let times = outcome.times.iter().map(|(what, time)| format!("{what} {}", markdown_table::time(*time)));
        table.row([
            what.to_owned(),
            outcome.runs.to_string(),
            posts.to_string(),
            executions.to_string(),
            times.collect::<Vec<_>>().join("; "),
            outcome.seen,
        ]);
    }
    table.to_string()
}
