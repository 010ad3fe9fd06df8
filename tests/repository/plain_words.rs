//! Words that readers have stumbled over do not come back.

use crate::sources;

/// The words, in lower case, with what to write instead.
const WORDS: [(&str, &str); 4] = [
    ("mend", "fix"),
    ("nobody", "no user, no client, no process"),
    ("somebody", "another user, another client"),
    ("for ever", "always, permanently; for each"),
];

/// Whether a word, or the first of several, begins a word of the text.
fn contains(text: &str, words: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(words).any(|(at, _)| !text[..at].ends_with(is_letter))
}

#[test]
fn repository_uses_plain_words() {
    let mut found = Vec::new();
    for (path, text) in sources(&["rs", "md", "yaml", "json", "tpl", "txt", "lua"]) {
        if path == "tests/repository/plain_words.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let words = WORDS.iter().filter(|(word, _)| contains(&line, word));
            found.extend(words.map(|(word, instead)| format!("{path}:{}: \"{word}\" ({instead})", number + 1)));
        }
    }
    assert!(found.is_empty(), "{} lines:\n{}", found.len(), found.join("\n"));
}

#[test]
fn word_inside_another_word_is_not_found() {
    assert!(contains("to mend it", "mend") && contains("mended", "mend") && contains("for ever.", "for ever"));
    assert!(!contains("recommend", "mend") && !contains("therefor ever", "for ever"));
}
