//! `cargo xtask dashboard`: a picture of the dashboard for README.md, drawn from its own queries.

mod load;
mod panels;
mod picture;

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use crate::build::{self, repository};
use crate::stop::Stop;

/// Draws the dashboard of the chart as an SVG: an operator works for two minutes beside a simulator of nuvo, Prometheus' own engine evaluates the
/// dashboard's queries over what it exposes meanwhile, and this draws the results.
///
/// Needs Rust and Go, and no cluster. The picture is simpler than what Grafana makes of the same results.
#[derive(clap::Args)]
pub struct Args {
    /// The file
    #[arg(default_value = "docs/dashboard.svg", value_name = "FILE")]
    file: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let stop = Stop::on_signals()?;
    let evaluator = programs::panels()?.built()?;
    let operator = build::operator(&stop)?;
    let text = fs::read_to_string(repository().join("charts/nuvo-operator/files/dashboard.json"))?;
    let dashboard = panels::read(&text)?;
    let outcome = load::scrapes(&operator, &stop).map_err(|error| error as Box<dyn Error>);
    // After Ctrl-C everything else fails as a consequence.
    stop.check()?;
    let results = panels::evaluate(&evaluator, &dashboard, &outcome?)?;
    fs::write(&args.file, picture::svg(&dashboard.panels, &results)).map_err(|error| format!("{}: {error}", args.file.display()))?;
    println!("{} shows {} panels", args.file.display(), dashboard.panels.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{panels, picture};
    use crate::build::repository;

    /// The names of the tags that are open where they should not be, or that are closed and were not open.
    fn unbalanced(picture: &str) -> Vec<String> {
        let mut open = Vec::new();
        let mut wrong = Vec::new();
        for tag in picture.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').unwrap();
            assert!(!text.contains('>') && !tag.contains('\n'), "{tag}>{text}");
            let name = tag.trim_start_matches('/').split(' ').next().unwrap().to_owned();
            if tag.starts_with('/') {
                wrong.extend(open.pop().filter(|last| *last != name));
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        wrong.extend(open);
        wrong
    }

    #[test]
    fn picture_of_the_readme_shows_every_panel_of_the_dashboard() {
        let of = |path: &str| fs::read_to_string(repository().join(path)).unwrap();
        let (picture, dashboard) = (of("docs/dashboard.svg"), panels::read(&of("charts/nuvo-operator/files/dashboard.json")).unwrap());
        assert_eq!(unbalanced(&picture), [""; 0]);
        assert!(!dashboard.panels.is_empty());
        for panel in &dashboard.panels {
            let title = format!("{}>{}</text>", picture::TITLE, picture::escaped(&panel.title));
            assert_eq!(picture.matches(&title).count(), 1, "{title}: run `cargo xtask dashboard` again");
        }
        assert_eq!(picture.matches("class=\"panel\"").count(), dashboard.panels.iter().filter(|panel| !panel.is_row()).count());
        assert_eq!(picture.matches(">No data<").count(), 0, "the load leaves panels empty");
        assert!(of("README.md").contains("](docs/dashboard.svg)"));
    }
}
