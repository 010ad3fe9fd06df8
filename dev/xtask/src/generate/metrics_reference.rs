//! Generates the reference of the metrics.

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
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    for Description { name, kind, labels, help } in ALL {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    let words = |words: &[&str]| words.iter().map(|word| format!("- `{word}`\n")).collect::<String>();
    text.push_str("\nPhases, each of which is always there:\n\n");
    text.push_str(&words(&PHASES));
    text.push_str("\nError types, besides the empty one of a run that nuvo did not fail; `other` is any word that is none of these:\n\n");
    text.push_str(&words(&ERROR_TYPES.map(|word| if word.is_empty() { "other" } else { word })));
    text
}
