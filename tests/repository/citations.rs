//! Source files cite the trigger protocol by section, and each cited section exists.

use std::fs;

use crate::{REPOSITORY, sources};

/// The page, by the path that every citation has to use.
const PAGE: &str = "docs/protocol.md";
/// Its name, which also finds citations by another path.
const NAME: &str = "protocol.md";
/// Fewer citations than this mean that they are not found, not that they are gone.
const AT_LEAST: usize = 6;

/// A place that cites sections of the page.
#[derive(Debug, PartialEq, Eq)]
struct Citation {
    line: usize,
    /// It names the page by its full path.
    full_path: bool,
    /// Empty if no number follows.
    sections: Vec<u32>,
}

/// The text as one line: without what begins the lines of a comment, because a citation may go over the end of a line.
fn unwrapped(text: &str) -> String {
    text.lines().map(|line| line.trim().trim_start_matches(['/', '!', '#', '*', ' '])).collect::<Vec<_>>().join(" ")
}

/// The numbers at the beginning of a text like "2, 3 and 5 to 7 of the page".
fn numbers(text: &str) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    let mut rest = text;
    let mut is_range = false;
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        let Ok(number) = digits.parse() else { return found };
        let first = found.last().filter(|_| is_range).map_or(number, |last| last.saturating_add(1));
        found.extend(first..=number);
        let joined = [(", ", false), (" and ", false), (" or ", false), (" to ", true)];
        let Some((next, range)) = joined.into_iter().find_map(|(word, range)| Some((after.strip_prefix(word)?, range))) else {
            return found;
        };
        (rest, is_range) = (next, range);
    }
}

/// What a file cites. A link or a mention without ", section" is no citation.
fn citations(text: &str) -> Vec<Citation> {
    text.match_indices(NAME)
        .filter_map(|(at, name)| {
            let (before, after) = (text.get(..at)?, text.get(at.checked_add(name.len())?..)?);
            let cited = unwrapped(after.get(..200).unwrap_or(after));
            let numbered = cited.trim_start_matches('`').strip_prefix(", section")?;
            let numbered = numbered.strip_prefix('s').unwrap_or(numbered);
            let folder = before.strip_suffix(PAGE.strip_suffix(NAME)?);
            let is_of_longer_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
            Some(Citation {
                line: before.matches('\n').count().saturating_add(1),
                full_path: folder.is_some_and(|outside| !outside.ends_with(is_of_longer_path)),
                sections: numbers(numbered.trim_start()),
            })
        })
        .collect()
}

/// The numbers of the page's headings.
fn headings(page: &str) -> Vec<u32> {
    page.lines().filter_map(|line| line.strip_prefix("## ")?.split_once(". ")?.0.parse().ok()).collect()
}

#[test]
fn citations_of_the_protocol_lead_to_existing_sections() {
    let sections = headings(&fs::read_to_string(format!("{REPOSITORY}/{PAGE}")).unwrap());
    assert!(!sections.is_empty(), "{PAGE} has no numbered sections");
    let (mut wrong, mut found) = (Vec::new(), 0);
    for (path, text) in sources(&["rs", "md", "yaml", "go"]) {
        for Citation { line, full_path, sections: cited } in citations(&text) {
            found += 1;
            let place = format!("{path}:{line}");
            if !full_path {
                wrong.push(format!("{place}: cite the page by its path in the repository, {PAGE}"));
            }
            if cited.is_empty() {
                wrong.push(format!("{place}: no number follows the word section"));
            }
            wrong.extend(cited.iter().filter(|n| !sections.contains(n)).map(|n| format!("{place}: {PAGE} has no section {n}")));
        }
    }
    assert!(wrong.is_empty(), "citations that lead nowhere:\n{}", wrong.join("\n"));
    assert!(found >= AT_LEAST, "only {found} citations of {PAGE} were found: is this test looking in the right places?");
}

#[test]
fn sections_of_the_protocol_are_numbered_without_a_gap() {
    let sections = headings(&fs::read_to_string(format!("{REPOSITORY}/{PAGE}")).unwrap());
    assert_eq!(sections, (1..=9).collect::<Vec<_>>(), "renumbering breaks every citation: add new sections at the end");
}

#[test]
fn citation_in_a_text_is_found_with_line_path_and_numbers() {
    let cited = |text: String| citations(&text).into_iter().map(|c| (c.line, c.full_path, c.sections)).collect::<Vec<_>>();
    assert_eq!(cited(format!("//! The lock ({PAGE}, section 1).")), [(1, true, vec![1])]);
    assert_eq!(cited(format!("\n\n/// See {PAGE},\n/// sections 2 and 3.")), [(3, true, vec![2, 3])]);
    assert_eq!(
        cited(format!("{PAGE}, sections 2, 4 to 6 and 8; {PAGE}, section 4, step 5")),
        [(1, true, vec![2, 4, 5, 6, 8]), (1, true, vec![4])]
    );
    assert_eq!(cited(format!("`{PAGE}`, section\n// 3")), [(1, true, vec![3])]);
    assert_eq!(cited(format!("\n{NAME}, section 4")), [(2, false, vec![4])]);
    assert_eq!(cited(format!("../{PAGE}, section 4")), [(1, false, vec![4])]);
    assert_eq!(cited(format!("{PAGE}, section four")), [(1, true, vec![])]);
    assert_eq!(cited(format!("[the protocol]({PAGE}), and its {PAGE}")), []);
}
