//! The reference of the metrics.

use std::fmt::Write;

use nuvo_operator::telemetry::metrics::{ALL, Description, ERROR_TYPES, PHASES};

const HEAD: &str = "\
<!-- Made from src/telemetry/metrics.rs by `cargo xtask generate`. Do not edit. -->
# Metrics

Served on `/metrics` (`--metrics-addr`) as OpenMetrics. A histogram has the three series that Prometheus knows: `_bucket` with the label
`le`, `_sum` and `_count`. No metric has the name of a run as a label.

| name | type | labels | meaning |
|---|---|---|---|
";

/// `docs/metrics.md`.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for Description { name, kind, labels, help } in ALL {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    let words =
        |words: &[&str]| words.iter().filter(|word| !word.is_empty()).map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "\nPhases, each of which is always there: {}.", words(&PHASES));
    let _ = writeln!(text, "\nError types: {}; empty without one, and `other` for a word that is none of these.", words(&ERROR_TYPES));
    text
}
