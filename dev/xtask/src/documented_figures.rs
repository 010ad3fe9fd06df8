//! Figures that a command measures and writes into the documentation.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

/// The page with the figures.
fn page() -> PathBuf {
    crate::build::repository().join("docs/performance.md")
}

/// Replaces the figures of this name in docs/performance.md.
///
/// # Errors
/// The page cannot be read or written, or has no place for them.
pub fn write(name: &str, figures: &str) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(page())?;
    let missing = || format!("docs/performance.md has no place for the figures of {name}");
    let (before, _, after) = split(&text, name).ok_or_else(missing)?;
    fs::write(page(), format!("{before}\n{}\n\n{after}", figures.trim()))?;
    println!("wrote the figures of {name} into docs/performance.md");
    Ok(())
}

/// The text up to the figures of this name, the figures, and the rest.
fn split<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let mark = format!("<!-- figures: {name} -->\n");
    let begin = text.find(&mark)?.checked_add(mark.len())?;
    let (before, rest) = text.split_at_checked(begin)?;
    let (figures, after) = rest.split_at_checked(rest.find("<!-- end -->")?)?;
    Some((before, figures, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the page has these figures, with these heads of tables, which a change of the tables would change.
    #[test]
    fn documented_figures_have_the_heads_of_the_present_tables() {
        let text = fs::read_to_string(page()).unwrap();
        let simulated = (crate::simulate::FIGURES, crate::simulate::HEAD.lines().map(str::to_owned).collect());
        for (name, heads) in crate::bench::documented_heads().into_iter().chain([simulated]) {
            let (_, figures, _) = split(&text, name).unwrap_or_else(|| panic!("no figures of {name}"));
            for head in heads {
                assert!(
                    figures.contains(&head),
                    "{name}: {head}\nrun `cargo xtask bench --write-docs` or `cargo xtask simulate --write-docs`"
                );
            }
        }
    }
}
