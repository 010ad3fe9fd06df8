//! Formats values for a terminal: aligned columns, times and numbers, without control sequences.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use nuvo_core::time::human_duration;
use nuvo_crds::{Phase, PipelineRunStatus};

/// Rows under a header, in columns as wide as their longest cell.
#[must_use]
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |row: &[String]| row.iter().map(|cell| printable(cell)).collect::<Vec<_>>();
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows.iter().map(|row| cells(row))).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Text without control characters: a status comes from others and must not control the reader's terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    nuvo_core::text::printable(text)
}

/// The time since then, as kubectl shows an age; empty without a time.
#[must_use]
pub fn age(since: Option<&Time>, now: Timestamp) -> String {
    since.map(|since| human_duration(now.duration_since(since.0))).unwrap_or_default()
}

/// A number; empty without one.
#[must_use]
pub fn number(value: Option<i64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A duration in milliseconds, as seconds with one decimal below a minute.
#[must_use]
pub fn milliseconds(value: Option<i64>) -> String {
    let text = |ms: i64| {
        let (seconds, rest) = (ms / 1_000, ms % 1_000);
        if seconds < 60 {
            format!("{seconds}.{:01}s", rest / 100)
        } else {
            human_duration(k8s_openapi::jiff::SignedDuration::from_secs(seconds))
        }
    };
    value.map(text).unwrap_or_default()
}

/// A time in RFC 3339; empty without one.
#[must_use]
pub fn time(time: Option<&Time>) -> String {
    time.map(|time| time.0.to_string()).unwrap_or_default()
}

/// The phase; `Unseen` before the operator has seen the run.
#[must_use]
pub fn phase(status: &PipelineRunStatus) -> String {
    status.phase.map_or("Unseen", Phase::as_str).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_cells_are_aligned_and_free_of_control_characters() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["longer".to_owned(), "\u{1b}[31m2\u{7}\u{202e}".to_owned()]];
        assert_eq!(table(&["NAME", "N"], &rows), "NAME     N\na        1\nlonger   2\n");
        assert_eq!(table(&["NAME"], &[]), "NAME\n");
    }

    #[test]
    fn milliseconds_below_a_minute_have_tenths() {
        assert_eq!([Some(0), Some(1_250), Some(61_000), None].map(milliseconds), ["0.0s", "1.2s", "1m01s", ""]);
    }
}
