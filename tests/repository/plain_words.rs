//! Words that readers have stumbled over do not come back.

use crate::sources;

/// Where people read: the product, its documentation, and what they copy. Tests and tools are left out.
const FOLDERS: [&str; 6] = ["src/", "docs/", "charts/", "gitops/", "examples/", "crates/"];

/// The words, in lower case, with what to write instead, and whether a longer word with the same beginning counts, too.
const WORDS: [(&str, &str, bool); 4] = [
    ("mend", "fix", true),
    ("nobody", "no user, no client, no process", false),
    ("somebody", "another user, another client", false),
    ("for ever", "always, permanently", false),
];

/// Whether a text has these words: as whole words, or as the beginning of one.
fn contains(text: &str, words: &str, longer: bool) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(words).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + words.len()..]);
        !before.ends_with(is_letter) && (longer || !after.starts_with(is_letter))
    })
}

#[test]
fn product_and_documentation_use_plain_words() {
    let mut found = Vec::new();
    for (path, text) in sources(&["rs", "md", "yaml", "json", "tpl", "txt", "lua"]) {
        let is_read = FOLDERS.iter().any(|folder| path.starts_with(folder)) || !path.contains('/');
        if !is_read || path.contains("/tests/") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let words = WORDS.iter().filter(|(word, _, longer)| contains(&line, word, *longer));
            found.extend(words.map(|(word, instead, _)| format!("{path}:{}: \"{word}\" ({instead})", number + 1)));
        }
    }
    assert!(found.is_empty(), "{} lines:\n{}", found.len(), found.join("\n"));
}

#[test]
fn words_inside_other_words_are_not_found() {
    assert!(contains("to mend it", "mend", true) && contains("mended", "mend", true) && contains("for ever.", "for ever", false));
    assert!(!contains("recommend", "mend", true) && !contains("for every", "for ever", false) && !contains("mended", "mend", false));
}
