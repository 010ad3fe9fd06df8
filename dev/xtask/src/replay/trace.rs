//! The text of a replay.

use std::fmt;

/// What is printed.
#[derive(Debug, Default)]
pub struct Trace {
    text: String,
    acts: u32,
    known: Vec<(&'static str, String)>,
}

impl Trace {
    /// A heading, after an empty line.
    pub fn heading(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.line(0, text);
    }

    /// The next act.
    pub fn act(&mut self, text: &str) {
        self.acts = self.acts.saturating_add(1);
        let number = self.acts;
        self.line(0, &format!("{number}. {text}"));
    }

    /// What an object looks like.
    pub fn object(&mut self, label: &str, text: &str) {
        self.line(2, &format!("{label}: {text}"));
    }

    /// What came of the act.
    pub fn detail(&mut self, label: &str, text: &str) {
        self.line(3, &format!("> {label}: {text}"));
    }

    /// Begins a pass, in which everything that is known is said again.
    pub fn pass(&mut self, text: &str) {
        self.known.clear();
        self.heading(text);
    }

    /// What is known now, as far as it differs from what was known before.
    pub fn facts(&mut self, facts: Vec<(&'static str, String)>) {
        let new: Vec<_> = facts.iter().filter(|fact| !self.known.contains(fact)).cloned().collect();
        self.known = facts;
        for (label, text) in new {
            self.line(3, &format!("- {label}: {text}"));
        }
    }

    fn line(&mut self, indent: usize, text: &str) {
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
