//! The table of what was played, and what is told of a failure.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::evidence::Evidence;
use super::fault::Fault;
use super::oracle::Verdict;
use super::plan::Plan;
use super::workload::{self, Workload};
use crate::build;

/// Locks, also after a panic of another thread: what is guarded here is whole between any two statements.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    as_reference: usize,
    in_doubt: usize,
    not_struck: usize,
    failed: usize,
}

impl Counts {
    fn sum(self) -> usize {
        self.as_reference.saturating_add(self.in_doubt).saturating_add(self.not_struck).saturating_add(self.failed)
    }

    fn add(&mut self, other: Self) {
        self.as_reference = self.as_reference.saturating_add(other.as_reference);
        self.in_doubt = self.in_doubt.saturating_add(other.in_doubt);
        self.not_struck = self.not_struck.saturating_add(other.not_struck);
        self.failed = self.failed.saturating_add(other.failed);
    }
}

/// What has become of the plans so far.
#[derive(Debug, Default)]
pub struct Report(BTreeMap<(Fault, Workload), Counts>);

impl Report {
    /// Counts one.
    pub fn add(&mut self, plan: &Plan, verdict: Result<Verdict, Vec<String>>) {
        let counts = match verdict {
            Ok(Verdict::AsReference) => Counts { as_reference: 1, ..Counts::default() },
            Ok(Verdict::InDoubt) => Counts { in_doubt: 1, ..Counts::default() },
            Ok(Verdict::NotStruck) => Counts { not_struck: 1, ..Counts::default() },
            Err(_) => Counts { failed: 1, ..Counts::default() },
        };
        self.0.entry((plan.fault, plan.workload)).or_default().add(counts);
    }

    /// How many were played.
    pub fn count(&self) -> usize {
        self.total(|_| true).sum()
    }

    /// How many broke a promise.
    pub fn failures(&self) -> usize {
        self.total(|_| true).failed
    }

    fn total(&self, of: impl Fn(&(Fault, Workload)) -> bool) -> Counts {
        let mut total = Counts::default();
        self.0.iter().filter(|(key, _)| of(key)).for_each(|(_, counts)| total.add(*counts));
        total
    }
}

/// Markdown, so that it can go into the documentation as it is.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, counts: Counts| {
            let Counts { as_reference, in_doubt, not_struck, failed } = counts;
            writeln!(f, "| {name} | {} | {as_reference} | {in_doubt} | {not_struck} | {failed} |", counts.sum())
        };
        writeln!(f, "| fault | plans | ended as without it | doubt shown | not reached | failed |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|")?;
        for (fault, name) in super::fault::ALL {
            let counts = self.total(|(seen, _)| *seen == fault);
            if counts.sum() > 0 {
                row(f, name, counts)?;
            }
        }
        row(f, "**all**", self.total(|_| true))?;
        writeln!(f, "\n| workload | plans | ended as without a fault | doubt shown | not reached | failed |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|")?;
        for (workload, name) in workload::ALL {
            let counts = self.total(|(_, seen)| *seen == workload);
            if counts.sum() > 0 {
                row(f, name, counts)?;
            }
        }
        Ok(())
    }
}

/// What was broken, how to see it again, and where all that is known is written.
pub fn tell_of_failure(plan: &Plan, broken: &[String], evidence: Option<&Evidence>) {
    let folder = build::repository().join("target/faults");
    let path = folder.join(format!("{}.txt", plan.to_string().replace('/', "_")));
    let mut text = format!("{plan}\n{}\n", broken.join("\n"));
    if let Some(evidence) = evidence {
        let Evidence { struck, happened, runs, deliveries, markers, executions, carried_out, sequence, complaints: _, logs, took } =
            evidence;
        let runs = serde_json::to_string_pretty(runs).unwrap_or_default();
        let sequence: Vec<String> = sequence.iter().map(ToString::to_string).collect();
        text.push_str(&format!(
            "struck {struck}, happened {happened}, took {took:?}\nPOSTs {deliveries:#?}\nmarkers {markers:#?}\nexecutions {executions:#?}\n\
             carried out {carried_out:#?}\nsequence {}\nruns {runs}\nlogs\n{logs}",
            sequence.join(" ")
        ));
    }
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, text));
    let place = written.map_or_else(|error| format!("not written: {error}"), |()| path.display().to_string());
    super::print(&format!("FAILED {plan}\n  {}\n  again: cargo xtask faults --plan {plan}\n  details: {place}", broken.join("\n  ")));
}
