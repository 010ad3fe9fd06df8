//! The panels of the dashboard, and what their queries give.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use super::load::{INTERVAL, Scrape};

/// What the picture needs of a dashboard of Grafana.
#[derive(Deserialize)]
pub struct Dashboard {
    pub panels: Vec<Panel>,
}

/// A panel.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    pub title: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub grid_pos: Place,
    targets: Vec<Target>,
    #[serde(default)]
    field_config: FieldConfig,
}

/// Its place, in columns and rows of the grid.
#[derive(Deserialize)]
pub struct Place {
    pub x: u32,
    pub y: u32,
    pub w: u32,
    pub h: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    expr: String,
    legend_format: String,
}

#[derive(Default, Deserialize)]
struct FieldConfig {
    defaults: Defaults,
}

#[derive(Default, Deserialize)]
struct Defaults {
    #[serde(default)]
    unit: String,
    thresholds: Option<Thresholds>,
}

#[derive(Deserialize)]
struct Thresholds {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    color: String,
    value: Option<f64>,
}

impl Panel {
    /// Whether it is only the heading of those below it.
    pub fn is_row(&self) -> bool {
        self.kind == "row"
    }

    /// Grafana's name of the unit.
    pub fn unit(&self) -> &str {
        &self.field_config.defaults.unit
    }

    /// The name of the color that a value has; none if the panel gives it none.
    pub fn color(&self, value: f64) -> Option<&str> {
        let mut steps = self.field_config.defaults.thresholds.as_ref()?.steps.iter();
        steps.rfind(|step| step.value.is_none_or(|from| value >= from)).map(|step| step.color.as_str())
    }
}

/// What one query of a panel gives: lines with their legends.
#[derive(Debug, Default, PartialEq)]
pub struct Line {
    pub legend: String,
    /// Time in milliseconds, and value.
    pub points: Vec<[f64; 2]>,
}

/// What all queries give.
pub struct Results {
    /// The first and the last moment, in milliseconds.
    pub window: [f64; 2],
    /// The lines of each panel.
    pub lines: Vec<Vec<Line>>,
}

#[derive(Deserialize)]
struct Series {
    labels: BTreeMap<String, String>,
    points: Vec<[f64; 2]>,
}

/// Reads the dashboard's JSON.
pub fn read(text: &str) -> Result<Dashboard, serde_json::Error> {
    serde_json::from_str(text)
}

/// Has Prometheus' engine evaluate every query.
pub fn evaluate(evaluator: &Path, dashboard: &Dashboard, scrapes: &[Scrape]) -> Result<Results, Box<dyn Error>> {
    let (first, last) = scrapes.first().zip(scrapes.last()).ok_or("there are no scrapes")?;
    let targets: Vec<&Target> = dashboard.panels.iter().flat_map(|panel| &panel.targets).collect();
    let input = json!({
        // What a ServiceMonitor adds.
        "labels": { "job": "nuvo-operator", "pod": "nuvo-operator-0" },
        "scrapes": scrapes, "start": first.time, "end": last.time, "step": u64::try_from(INTERVAL.as_millis())?,
        "expressions": targets.iter().map(|target| filled_in(&target.expr)).collect::<Vec<_>>(),
    });
    let mut found: std::vec::IntoIter<Vec<Series>> = serde_json::from_slice::<Vec<_>>(&output(evaluator, &input)?)?.into_iter();
    let mut lines = Vec::new();
    for panel in &dashboard.panels {
        let mut of_panel = Vec::new();
        for target in &panel.targets {
            let series = found.next().ok_or("a query has no result")?;
            of_panel.extend(
                series.into_iter().map(|series| Line { legend: legend(&target.legend_format, &series.labels), points: series.points }),
            );
        }
        lines.push(of_panel);
    }
    Ok(Results { window: [first.time as f64, last.time as f64], lines })
}

/// Puts in what Grafana puts in for the variables: four scrapes for the interval, as it does by default.
fn filled_in(expression: &str) -> String {
    let interval = format!("{}s", INTERVAL.as_secs().saturating_mul(4));
    expression.replace("$__rate_interval", &interval).replace("$job", ".*")
}

fn legend(format: &str, labels: &BTreeMap<String, String>) -> String {
    labels.iter().fold(format.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value)).trim().to_owned()
}

fn output(program: &Path, input: &Value) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let written = child.stdin.take().ok_or("no standard input")?.write_all(input.to_string().as_bytes());
    let output = child.wait_with_output()?;
    written?;
    if output.status.success() { Ok(output.stdout) } else { Err(format!("{} ended with {}", program.display(), output.status).into()) }
}

#[cfg(test)]
mod tests {
    use super::{filled_in, legend, read};

    #[test]
    fn variables_and_legends_are_filled_in() {
        assert_eq!(filled_in("rate(a{job=~\"$job\"}[$__rate_interval])"), "rate(a{job=~\".*\"}[12s])");
        let labels = [("kind".to_owned(), "run".to_owned()), ("result".to_owned(), "ok".to_owned())].into();
        assert_eq!(legend("{{kind}} {{result}}", &labels), "run ok");
        assert_eq!(legend("p50", &labels), "p50");
    }

    #[test]
    fn value_has_the_color_of_its_threshold() {
        let text = r#"{"panels": [{"title": "a", "type": "stat", "gridPos": {"x": 0, "y": 0, "w": 4, "h": 4}, "targets": [],
            "fieldConfig": {"defaults": {"unit": "short", "thresholds": {"steps": [
                {"color": "green", "value": null}, {"color": "red", "value": 1}]}}}}]}"#;
        let dashboard = read(text).unwrap();
        assert_eq!(dashboard.panels[0].color(0.0), Some("green"));
        assert_eq!(dashboard.panels[0].color(1.0), Some("red"));
    }
}
