//! One cron line.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

/// The most pairs of an hour and a minute for which a line counts as one with fixed times.
const MAX_PAIRS: usize = 64;

/// The words for common lines.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Why a text is no cron line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("'{line}' is no cron line: {why}")]
pub struct InvalidLine {
    line: String,
    why: String,
}

/// Reads a line. One with fixed times becomes a line for each of them.
///
/// When clocks change, fixed times are due once, and late if they would be missing; croner takes only single numbers for fixed times, and a
/// list for an interval.
pub(super) fn parse_line(line: &str) -> Result<Vec<Cron>, InvalidLine> {
    let invalid = |why: String| InvalidLine { line: line.to_owned(), why };
    let text = line.trim_matches(' ');
    let text = match NICKNAMES.iter().find(|(nickname, _)| *nickname == text) {
        Some((_, meaning)) => *meaning,
        None if text.starts_with('@') => return Err(invalid("there is no such word".to_owned())),
        None => text,
    };
    let fields: Vec<&str> = text.split(' ').filter(|field| !field.is_empty()).collect();
    let [minute, hour, rest @ ..] = fields.as_slice() else { return Err(invalid("it must have five fields".to_owned())) };
    // What croner understands besides cron: a sum of conditions.
    if rest.len() != 3 || text.contains('+') {
        return Err(invalid("it must have five fields, without '+'".to_owned()));
    }
    if text.contains(|letter: char| letter != ' ' && letter.is_whitespace()) {
        return Err(invalid("its fields must be separated by spaces".to_owned()));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let parse = |text: &str| parser.parse(text).map_err(|error| invalid(error.to_string()));
    let whole = parse(text)?;
    match (numbers(minute), numbers(hour)) {
        (Some(minutes), Some(hours)) if (2..=MAX_PAIRS).contains(&minutes.len().saturating_mul(hours.len())) => {
            let pairs = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| (minute, hour)));
            pairs.map(|(minute, hour)| parse(&format!("{minute} {hour} {}", rest.join(" ")))).collect()
        }
        _ => Ok(vec![whole]),
    }
}

/// The numbers of a field, if it is a list of numbers.
fn numbers(field: &str) -> Option<Vec<u8>> {
    let mut numbers = field.split(',').map(|number| number.parse().ok()).collect::<Option<Vec<u8>>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        parse_line(text).unwrap().iter().map(|cron| cron.as_str().to_owned()).collect()
    }

    #[test]
    fn list_of_times_becomes_a_line_for_each_time() {
        assert_eq!(lines("0 2,14 * * *"), ["0 2 * * *", "0 14 * * *"]);
        assert_eq!(lines("30,0,30 3 * * 1-5"), ["0 3 * * 1-5", "30 3 * * 1-5"]);
        assert_eq!(lines("0,30 2,3 1 * *"), ["0 2 1 * *", "30 2 1 * *", "0 3 1 * *", "30 3 1 * *"]);
    }

    #[test]
    fn interval_and_single_time_stay_one_line() {
        for line in ["30 2 * * *", "*/15 * * * *", "0,30 * * * *", "0 2-4 * * *", "0 */2 * * *", "5-59/15 1 * * *"] {
            assert_eq!(lines(line), [line]);
        }
        let many: Vec<String> = (0..24).map(|hour| hour.to_string()).collect();
        assert_eq!(parse_line(&format!("0,20,40 {} * * *", many.join(","))).unwrap().len(), 1, "72 times are an interval");
        assert_eq!(parse_line(&format!("0,30 {} * * *", many.join(","))).unwrap().len(), 48);
    }

    #[test]
    fn nickname_means_its_line() {
        for (nickname, meaning) in NICKNAMES {
            assert_eq!(lines(nickname), [meaning]);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "@reboot",
            "@every 5m",
            "@DAILY",
            "0 30 2 * * *",
            "30 2 * *",
            "TZ=UTC 30 2 * * *",
            "30 2 1 * +MON",
            "5/15 * * * *",
            "H 2 * * *",
            "60 2 * * *",
            "30 24 * * *",
            "30 2 0 * *",
            "30 2 * 13 *",
            "*/0 * * * *",
            "30 2 * * *\n",
        ] {
            assert!(parse_line(text).is_err(), "{text:?}");
        }
        let error = parse_line("5/15 * * * *").unwrap_err().to_string();
        assert!(error.starts_with("'5/15 * * * *' is no cron line: "), "{error}");
    }
}
