//! The text of a description: facts, then sections under a title.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use nuvo_crds::conditions;

use super::table::{age, printable, table, time};

/// How wide prose is, in characters.
const WIDTH: usize = 100;

/// A description of an object, as far as it is written.
pub struct Description(pub String);

impl Description {
    /// Begins with these facts, those without a value left out.
    #[must_use]
    pub fn of(facts: &[(&str, String)]) -> Self {
        let known = || facts.iter().filter(|(_, value)| !value.is_empty());
        let width = known().map(|(name, _)| name.chars().count()).max().unwrap_or_default().saturating_add(2);
        Self(known().map(|(name, value)| format!("{:<width$}{}\n", format!("{name}:"), printable(value))).collect())
    }

    /// Adds a section, unless it is empty.
    pub fn section(&mut self, title: &str, body: &str) {
        if !body.trim().is_empty() {
            self.0.push_str(&format!("\n{title}:\n"));
            for line in body.lines() {
                self.0.push_str(&format!("  {line}\n"));
            }
        }
    }
}

/// What the conditions of these types say, in this order.
#[must_use]
pub fn messages(all: &[Condition], kinds: &[&str]) -> String {
    let said = kinds.iter().filter_map(|kind| conditions::find(all, kind)).map(|condition| printable(&condition.message));
    said.flat_map(|message| wrapped(&message, WIDTH)).collect::<Vec<_>>().join("\n")
}

/// All conditions, without their messages.
#[must_use]
pub fn condition_table(all: &[Condition], now: Timestamp) -> String {
    let row = |condition: &Condition| {
        let since = age(Some(&condition.last_transition_time), now);
        vec![condition.type_.clone(), condition.status.clone(), condition.reason.clone(), since]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    if rows.is_empty() { String::new() } else { table(&["TYPE", "STATUS", "REASON", "AGE"], &rows) }
}

/// A time, and how long ago it was; empty without one.
#[must_use]
pub fn time_and_age(since: Option<&Time>, now: Timestamp) -> String {
    since.map(|_| format!("{} ({} ago)", time(since), age(since, now))).unwrap_or_default()
}

/// Breaks text at words into lines of at most this width. A longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count().saturating_add(word.chars().count()) < width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_wrapped_at_words() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensibilities a", 5), ["incomprehensibilities", "a"]);
    }
}
