//! Figures that a command measures and writes into the documentation.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

/// The pages with figures.
const PAGES: [&str; 3] = ["docs/performance.md", "docs/reliability.md", "docs/node.md"];

fn path(page: &str) -> PathBuf {
    crate::build::repository().join(page)
}

/// Replaces the figures of this name in the page that has them.
///
/// # Errors
/// A page cannot be read or written, or none has a place for them.
pub fn write(name: &str, figures: &str) -> Result<(), Box<dyn Error>> {
    for page in PAGES {
        let text = fs::read_to_string(path(page))?;
        if let Some((before, _, after)) = split(&text, name) {
            fs::write(path(page), format!("{before}\n{}\n\n{after}", figures.trim()))?;
            println!("wrote the figures of {name} into {page}");
            return Ok(());
        }
    }
    Err(format!("{} have no place for the figures of {name}", PAGES.join(", ")).into())
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

    /// Whether the pages have these figures, with these heads of tables, which a change of the tables would change.
    #[test]
    fn documented_figures_have_the_heads_of_the_present_tables() {
        let texts = PAGES.map(|page| fs::read_to_string(path(page)).unwrap());
        let simulated = (crate::simulate::FIGURES, crate::simulate::HEAD.lines().map(str::to_owned).collect());
        let observed = (crate::simulate::OBSERVING_FIGURES, crate::simulate::OBSERVING_HEAD.lines().map(str::to_owned).collect());
        let others = [simulated, observed, crate::faults::outages::documented_heads(), crate::node::documented_heads()];
        for (name, heads) in crate::bench::documented_heads().into_iter().chain(others) {
            let figures = texts.iter().find_map(|text| split(text, name)).map(|(_, figures, _)| figures);
            let figures = figures.unwrap_or_else(|| panic!("no figures of {name}"));
            for head in heads {
                assert!(figures.contains(&head), "{name}: {head}\nrun the command that measures it, with --write-docs");
            }
        }
    }
}
