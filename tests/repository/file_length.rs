//! A file holds one idea, so none is long.

use crate::source::product_files;

/// The most lines of code in a file of the product. Comments, blank lines and unit tests do not count.
const LIMIT: usize = 400;

#[test]
fn product_files_are_within_the_limit() {
    let lengths = product_files().into_iter().map(|file| (file.code.lines().count(), file.path));
    let long: Vec<String> = lengths.filter(|(lines, _)| *lines > LIMIT).map(|(lines, path)| format!("{path}: {lines} lines")).collect();
    assert!(long.is_empty(), "more than {LIMIT} lines of code; split:\n{}", long.join("\n"));
}
