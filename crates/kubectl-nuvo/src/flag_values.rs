//! Flags that several commands have, and their values.

use std::time::Duration;

use clap::{Args, ValueEnum};
use k8s_openapi::jiff::{Span, SpanRelativeTo};

/// An output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The object as JSON.
    Json,
    /// The object as YAML.
    Yaml,
    /// Kind and name, for other commands.
    Name,
    /// More columns.
    Wide,
}

/// Parses a duration in whole seconds: `90s`, `5m`, `1h30m`; a number alone is seconds. Days (`2d`) are accepted, too, unlike in kubectl.
///
/// # Errors
/// What is wrong with the text.
pub fn duration(text: &str) -> Result<Duration, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let span = if is_number { format!("{text}s").parse::<Span>() } else { text.parse() };
    let parsed = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours())).ok();
    let positive = parsed.and_then(|parsed| Duration::try_from(parsed).ok());
    positive.filter(|parsed| parsed.subsec_nanos() == 0).ok_or_else(|| format!("{text:?} is not a duration such as 90s, 5m or 1h30m"))
}

/// Parses `KEY=VALUE`.
///
/// # Errors
/// What is wrong with the text.
pub fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_with_and_without_unit_is_parsed() {
        let valid =
            [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5_400), ("2d", 172_800), ("0s", 0), ("1.5h", 5_400), ("1h 30m", 5_400)];
        for (text, wanted) in valid {
            assert_eq!(duration(text), Ok(Duration::from_secs(wanted)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "5x", "1h30", "99999999999999999999h", "18446744073709551615d", "1month"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}

/// `kubectl nuvo pipeline list` and `kubectl nuvo schedule list`.
#[derive(Debug, Args)]
pub struct ObjectListArgs {
    /// List the objects of all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Selector (label query) to filter on.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Output format.
    #[arg(long, short, value_enum)]
    pub output: Option<Output>,
}
