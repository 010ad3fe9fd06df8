//! The table of results, and the report of a failed plan.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use super::evidence::Evidence;
use super::fault::Fault;
use super::oracle::Verdict;
use super::plan::Plan;
use super::workload::{self, Workload};
use crate::build;

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    as_reference: usize,
    in_doubt: usize,
    not_injected: usize,
    failed: usize,
}

impl Counts {
    fn sum(self) -> usize {
        self.as_reference.saturating_add(self.in_doubt).saturating_add(self.not_injected).saturating_add(self.failed)
    }

    fn add(&mut self, other: Self) {
        self.as_reference = self.as_reference.saturating_add(other.as_reference);
        self.in_doubt = self.in_doubt.saturating_add(other.in_doubt);
        self.not_injected = self.not_injected.saturating_add(other.not_injected);
        self.failed = self.failed.saturating_add(other.failed);
    }
}

/// The results of the plans so far.
#[derive(Debug, Default)]
pub struct ResultsTable(BTreeMap<(Fault, Workload), Counts>);

impl ResultsTable {
    /// Adds a result.
    pub fn add(&mut self, plan: &Plan, verdict: Result<Verdict, Vec<String>>) {
        let counts = match verdict {
            Ok(Verdict::AsReference) => Counts { as_reference: 1, ..Counts::default() },
            Ok(Verdict::InDoubt) => Counts { in_doubt: 1, ..Counts::default() },
            Ok(Verdict::NotInjected) => Counts { not_injected: 1, ..Counts::default() },
            Err(_) => Counts { failed: 1, ..Counts::default() },
        };
        self.0.entry((plan.fault, plan.workload)).or_default().add(counts);
    }

    /// The number of plans.
    pub fn count(&self) -> usize {
        self.total(|_| true).sum()
    }

    /// The number of plans that violated an invariant.
    pub fn failures(&self) -> usize {
        self.total(|_| true).failed
    }

    fn total(&self, of: impl Fn(&(Fault, Workload)) -> bool) -> Counts {
        let mut total = Counts::default();
        self.0.iter().filter(|(key, _)| of(key)).for_each(|(_, counts)| total.add(*counts));
        total
    }
}

/// Markdown, ready to copy into the documentation.
impl fmt::Display for ResultsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, counts: Counts| {
            let Counts { as_reference, in_doubt, not_injected, failed } = counts;
            writeln!(f, "| {name} | {} | {as_reference} | {in_doubt} | {not_injected} | {failed} |", counts.sum())
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

/// Prints the violations and the command that reproduces them, and writes the evidence into a file.
pub fn print_failure(plan: &Plan, broken: &[String], evidence: Option<&Evidence>) {
    let folder = build::repository().join("target/faults");
    let path = folder.join(format!("{}.txt", plan.to_string().replace('/', "_")));
    let mut text = format!("{plan}\n{}\n", broken.join("\n"));
    if let Some(evidence) = evidence {
        let Evidence {
            injected,
            incident_over,
            runs,
            tenant_runs,
            deliveries,
            markers,
            executions,
            carried_out,
            sequence,
            complaints: _,
            logs,
            took,
        } = evidence;
        let [runs, tenant_runs] = [runs, tenant_runs].map(|runs| serde_json::to_string_pretty(runs).unwrap_or_default());
        let sequence: Vec<String> = sequence.iter().map(ToString::to_string).collect();
        text.push_str(&format!(
            "injected {injected}, incident_over {incident_over}, took {took:?}\nPOSTs {deliveries:#?}\nmarkers {markers:#?}\nexecutions {executions:#?}\n\
             carried out {carried_out:#?}\nsequence {}\nruns {runs}\nruns of the tenant {tenant_runs}\nlogs\n{logs}",
            sequence.join(" ")
        ));
    }
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, text));
    let place = written.map_or_else(|error| format!("not written: {error}"), |()| path.display().to_string());
    super::print(&format!("FAILED {plan}\n  {}\n  again: cargo xtask faults --plan {plan}\n  details: {place}", broken.join("\n  ")));
}
