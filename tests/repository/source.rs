//! Rust sources as other tests need them: without comments, blank lines and unit tests.

use crate::sources;

/// A file of a product crate: its path in the repository, and its text without comments, blank lines and `#[cfg(test)]` items.
pub struct SourceFile {
    /// The path in the repository.
    pub path: String,
    /// What is left of the text.
    pub code: String,
}

/// The files of the operator and of its crates. Files of unit tests are left out.
pub fn product_files() -> Vec<SourceFile> {
    crate_files().into_iter().filter(|source| !source.path.starts_with("dev/")).collect()
}

/// The files of all crates, those of the tools in `dev/` included, without tests and comments.
pub fn crate_files() -> Vec<SourceFile> {
    let is_in_crate = |path: &str| {
        path.starts_with("src/") || (path.starts_with("crates/") || path.starts_with("dev/")) && path.split('/').nth(2) == Some("src")
    };
    let is_test = |path: &str| path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/");
    let files = sources(&["rs"]).into_iter().filter(|(path, _)| is_in_crate(path) && !is_test(path));
    files.map(|(path, text)| SourceFile { path, code: without_tests(&without_comments(&text)) }).collect()
}

/// Drops comment lines and blank lines. A comment behind code stays: it is on a line that counts anyway.
fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with("//")
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// Drops each item behind `#[cfg(test)]`. Formatted code ends an item at the indentation at which it begins.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if line.trim_start() != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let ends = |line: &str| {
            let text = line.trim_start();
            line.len() - text.len() == indent && !text.starts_with('#') && (text.ends_with('}') || text.ends_with(';'))
        };
        let _item = lines.by_ref().find(|line| ends(line));
    }
    kept
}

#[test]
fn tests_and_comments_in_a_source_are_dropped() {
    let text = "//! A page.\n\nuse a;\n#[cfg(test)]\nmod tests;\n\nfn f() {}\n\n#[cfg(test)]\n#[path = \"x\"]\nmod tests {\n    fn g() {}\n}\nfn h() {}\n";
    assert_eq!(without_tests(&without_comments(text)), "use a;\nfn f() {}\nfn h() {}\n");
}
